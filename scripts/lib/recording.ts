// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync } from 'node:fs';

import { runCommand } from '../../test/lib/process.js';
import type { StreamFormat } from '../../test/lib/pulse.js';

/** Music that scripts/setup installs: Debian's frozen-bubble-data, 3 min, 44.1 kHz stereo. */
export const DEFAULT_RECORDING = '/usr/share/games/frozen-bubble/snd/frozen-mainzik-2p.ogg';

/** Highest sample size that is sent as 16 bits; above it, 32 bits lose nothing. */
const BITS_16 = 16;

/** What a sound file holds, as sox sees it. @throws Error that says what is wrong with the file */
export async function formatOf(file: string): Promise<StreamFormat> {
  if (!existsSync(file)) {
    throw new Error(`there is no file ${file}`);
  }
  const [rate, channels, bits] = await Promise.all(['-r', '-c', '-b'].map((flag) => soxi(flag, file)));
  if (rate === undefined || channels === undefined || rate <= 0 || channels <= 0) {
    throw new Error(`${file} has no sound that sox can read`);
  }
  return { format: (bits ?? 0) > BITS_16 ? 's32le' : 's16le', rate, channels };
}

/**
 * Decodes a sound file into raw PCM of its own rate and channels, without dither: what comes back can be compared
 * octet by octet.
 *
 * @param seconds how much of it; undefined: all
 */
export async function decode(
  file: string,
  format: StreamFormat,
  pcmFile: string,
  seconds: number | undefined,
): Promise<void> {
  const bits = format.format === 's32le' ? '32' : '16';
  const output = ['-t', 'raw', '-e', 'signed-integer', '-b', bits, '-L', pcmFile];
  const trim = seconds === undefined ? [] : ['trim', '0', String(seconds)];
  const result = await runCommand('sox', ['-D', file, ...output, ...trim], { timeoutMs: 120_000 });
  if (result.code !== 0) {
    throw new Error(`sox could not decode ${file}: ${result.stderr.trim()}`);
  }
}

/** Octets of one frame. */
export function frameBytesOf(format: StreamFormat): number {
  return format.channels * (format.format === 's32le' ? 4 : 2);
}

async function soxi(flag: string, file: string): Promise<number> {
  const result = await runCommand('soxi', [flag, file]);
  if (result.code !== 0) {
    throw new Error(`sox cannot read ${file}: ${result.stderr.trim()}`);
  }
  return Number(result.stdout.trim());
}
