// SPDX-License-Identifier: LGPL-2.1-or-later
const HEADER_BYTES = 44;
const FORMAT_PCM = 1;

/** Puts the header of a WAV file (RIFF, signed little-endian PCM) in front of raw samples. */
export function wavOf(pcm: Buffer, spec: { rate: number; channels: number; sampleBytes: number }): Buffer {
  const { rate, channels, sampleBytes } = spec;
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(HEADER_BYTES - 8 + pcm.length, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(FORMAT_PCM, 20);
  header.writeUInt16LE(channels, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * channels * sampleBytes, 28);
  header.writeUInt16LE(channels * sampleBytes, 32);
  header.writeUInt16LE(sampleBytes * 8, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(pcm.length, 40);
  return Buffer.concat([header, pcm]);
}
