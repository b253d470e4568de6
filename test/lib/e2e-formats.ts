// SPDX-License-Identifier: LGPL-2.1-or-later
/** The formats, rates and channels that the tables of playback and capture go through. */
import assert from 'node:assert/strict';

import { compare } from './e2e-play.js';
import { CARRIED_FORMATS, chirp, firstChannel, likeness, noise, toS16 } from './e2e-signals.js';
import type { StreamFormat } from './pulse.js';

const SECONDS = 1;
const RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000];
/** The block of a null sink with norewinds=1, and then some. */
const BLOCK_SECONDS = 0.05;

/** The order in which sndif's frontends send channels: ALSA's. */
const ALSA_POSITIONS = [
  'front-left',
  'front-right',
  'rear-left',
  'rear-right',
  'front-center',
  'lfe',
  'side-left',
  'side-right',
];

export function channelMapOf(channels: number): string {
  const wide = [4, 5, 6, 8].includes(channels);
  if (channels === 1) {
    return 'mono';
  }
  return wide ? ALSA_POSITIONS.slice(0, channels).join(',') : oddMapOf(channels);
}

/** Three and seven have no layout of their own: the next smaller one, and a channel without a place. */
function oddMapOf(channels: number): string {
  const known = channels === 3 ? 2 : channels === 7 ? 6 : channels;
  return [...ALSA_POSITIONS.slice(0, known), ...(known < channels ? ['aux0'] : [])].join(',');
}

export const nameOf = ({ format, rate, channels }: StreamFormat): string =>
  `${format}, ${rate} Hz, ${channels} ${channels === 1 ? 'channel' : 'channels'}`;

/** As modules take it. */
export const argumentsOf = ({ format, rate, channels }: StreamFormat): string =>
  `format=${format} rate=${rate} channels=${channels}`;

/** Holds 170 ms of the widest stream: with 40, a machine that stalls for so long was heard. */
export const WIDE_BUFFER_BYTES = 1_048_576;

/** Lets a guest have that much, which is four times what policy allows unless it is told otherwise. */
export const WIDE_LIMITS = { limits: { 'buffer-bytes': WIDE_BUFFER_BYTES } };

export const base: StreamFormat = { format: 's16le', rate: 48_000, channels: 2 };

/** The same at both ends: sample for sample. */
export const exactRows: readonly StreamFormat[] = [
  ...CARRIED_FORMATS.map((format) => ({ ...base, format })),
  ...RATES.filter((rate) => rate !== base.rate).map((rate) => ({ ...base, rate })),
  ...[1, 3, 4, 5, 6, 7, 8].map((channels) => ({ ...base, channels })),
  { format: 'float32le', rate: 96_000, channels: 6 },
  { format: 's24-32le', rate: 192_000, channels: 2 },
  { format: 's32le', rate: 192_000, channels: 8 },
  { format: 'alaw', rate: 8000, channels: 1 },
];

/** Others in dom0 than in the guest: dom0 converts. */
export const convertedRows: readonly { guest: StreamFormat; dom0: StreamFormat }[] = [
  { guest: { ...base, rate: 44_100 }, dom0: base },
  { guest: base, dom0: { ...base, rate: 44_100 } },
  { guest: { ...base, rate: 8000, channels: 1 }, dom0: base },
  { guest: { ...base, rate: 192_000 }, dom0: base },
  { guest: { ...base, channels: 1 }, dom0: base },
  { guest: { ...base, channels: 6 }, dom0: base },
  { guest: base, dom0: { ...base, format: 'float32le' } },
];

/**
 * Sends a signal through devices of two formats; resolves to what arrived. Player and recorder have the sample format
 * that is named; default: their device's.
 */
export type Way = (
  sent: StreamFormat,
  heard: StreamFormat,
  pcm: Buffer,
  sampleFormat?: string,
) => Promise<Buffer>;

/** @returns what there is to say of it @throws AssertionError when it did not arrive sample for sample */
export async function arrivesExactly(spec: StreamFormat, way: Way): Promise<string> {
  const pcm = noise(spec, SECONDS);
  const result = compare(pcm, await way(spec, spec, pcm), spec);
  assert.equal(result.exact, true, JSON.stringify(result));
  return `${result.matchedFrames} frames`;
}

/** @returns what there is to say of it @throws AssertionError when what arrived is something else */
export async function arrivesConverted(sent: StreamFormat, heard: StreamFormat, way: Way): Promise<string> {
  const received = await way(sent, heard, toS16(chirp(sent.rate, SECONDS), sent.channels), 's16le');
  const found = likeness(chirp(heard.rate, SECONDS), firstChannel(received, heard.channels), heard.rate);
  const text = `${found.seconds.toFixed(3)} s, correlation ${found.correlation.toFixed(4)}, ${found.gainDb.toFixed(2)} dB`;
  assert.ok(Math.abs(found.seconds - SECONDS) < BLOCK_SECONDS, text);
  assert.ok(found.correlation > 0.99, text);
  assert.ok(Math.abs(found.gainDb) < 1, text);
  return text;
}

interface Line {
  guest: string;
  dom0: string;
  result: string;
  detail: string;
}

/** The table that is printed when all its rows have been tried. */
export class FormatTable {
  private readonly lines: Line[] = [];

  /** Runs a row and notes it, whatever becomes of it. */
  async note(guest: string, dom0: string, result: string, run: () => Promise<string>): Promise<void> {
    const noted = { guest, dom0, result: 'FAILED', detail: '' };
    this.lines.push(noted);
    noted.detail = await run();
    noted.result = result;
  }

  print(): void {
    const columns: (keyof Line)[] = ['guest', 'dom0', 'result', 'detail'];
    const all: Line[] = [{ guest: 'guest', dom0: 'dom0', result: 'result', detail: '' }, ...this.lines];
    const widths = columns.map((column) => Math.max(...all.map((line) => line[column].length)));
    for (const line of all) {
      const cells = columns.map((column, at) => line[column].padEnd(widths[at] ?? 0));
      console.log(`    ${cells.join('  ')}`.trimEnd());
    }
  }
}
