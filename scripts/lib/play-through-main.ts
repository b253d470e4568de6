// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * play-through-main.js FORMAT DIR: the demo's part in the dom0 of scripts/xen-lab. Plays DIR/sent.pcm, of the format in
 * JSON, in a guest; leaves DIR/received.pcm and DIR/figures.json.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { Host } from '../../test/host/host.js';
import { playThrough } from './play-through.js';

const Format = z.object({ format: z.string(), rate: z.number(), channels: z.number() });

async function main([formatText = '', dir = '.']: string[]): Promise<void> {
  const format = Format.parse(JSON.parse(formatText));
  const spec = `format=${format.format} rate=${format.rate} channels=${format.channels}`;
  const host = await Host.start({ xen: 'real', guests: 1, nullSinkArgs: spec, sinkArgs: spec });
  try {
    const pcmFile = join(dir, 'sent.pcm');
    const { signal } = new AbortController();
    const say = (text: string): void => {
      process.stderr.write(`  ... ${text}\n`);
    };
    const played = await playThrough({
      host,
      pcmFile,
      format,
      workDir: host.dir,
      speakers: false,
      signal,
      say,
    });
    const { received, ...figures } = played;
    writeFileSync(join(dir, 'received.pcm'), received);
    writeFileSync(join(dir, 'figures.json'), JSON.stringify(figures));
  } finally {
    await host.stop();
  }
}

await main(process.argv.slice(2));
