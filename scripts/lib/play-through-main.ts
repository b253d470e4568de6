// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * play-through-main.js FORMAT DIR: the demo's part in the dom0 of scripts/xen-lab. Sends DIR/sent.pcm, of the format in
 * JSON, from a guest and back; leaves DIR/received.pcm, heard.pcm, unheard.pcm and figures.json.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { roundTrip } from './round-trip.js';

const Format = z.object({ format: z.string(), rate: z.number(), channels: z.number() });

async function main([formatText = '', dir = '.']: string[]): Promise<void> {
  const format = Format.parse(JSON.parse(formatText));
  const { signal } = new AbortController();
  const say = (text: string): void => {
    process.stderr.write(`  ... ${text}\n`);
  };
  const options = { pcmFile: join(dir, 'sent.pcm'), format, speakers: false, signal, say };
  const { received, heard, unheard, ...figures } = await roundTrip('real', options);
  for (const [name, pcm] of Object.entries({ received, heard, unheard })) {
    writeFileSync(join(dir, `${name}.pcm`), pcm);
  }
  writeFileSync(join(dir, 'figures.json'), JSON.stringify(figures));
}

await main(process.argv.slice(2));
