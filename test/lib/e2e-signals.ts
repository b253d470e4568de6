// SPDX-License-Identifier: LGPL-2.1-or-later
/** Signals that end-to-end tests and benchmarks send: each is the same in every run. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { DEFAULT_RECORDING } from '../../scripts/lib/recording.js';
import { paths } from './paths.js';
import type { StreamFormat } from './pulse.js';

/** Longest that sox may take; much more than it needs. */
const DECODE_TIMEOUT_MS = 60_000;

interface SampleFormat {
  sampleBytes: number;
  /** The octet that silence is made of. */
  silence: number;
}

/** PulseAudio's sample formats that sndif can carry. */
const SAMPLE_FORMATS: Readonly<Record<string, SampleFormat>> = {
  u8: { sampleBytes: 1, silence: 0x80 },
  ulaw: { sampleBytes: 1, silence: 0xff },
  alaw: { sampleBytes: 1, silence: 0xd5 },
  s16le: { sampleBytes: 2, silence: 0 },
  s16be: { sampleBytes: 2, silence: 0 },
  's24-32le': { sampleBytes: 4, silence: 0 },
  's24-32be': { sampleBytes: 4, silence: 0 },
  s32le: { sampleBytes: 4, silence: 0 },
  s32be: { sampleBytes: 4, silence: 0 },
  float32le: { sampleBytes: 4, silence: 0 },
  float32be: { sampleBytes: 4, silence: 0 },
};

export const CARRIED_FORMATS: readonly string[] = Object.keys(SAMPLE_FORMATS);

function sampleFormat(name: string): SampleFormat {
  const found = SAMPLE_FORMATS[name];
  if (found === undefined) {
    throw new Error(`sample format ${name}: expected one of ${CARRIED_FORMATS.join(', ')}`);
  }
  return found;
}

/** Octets of one frame. */
export function frameBytesOf(format: StreamFormat): number {
  return sampleFormat(format.format).sampleBytes * format.channels;
}

/** The octet that silence is made of. */
export function silenceOf(format: StreamFormat): number {
  return sampleFormat(format.format).silence;
}

export function silentFrames(format: StreamFormat, seconds: number): Buffer {
  return Buffer.alloc(Math.round(seconds * format.rate) * frameBytesOf(format), silenceOf(format));
}

/** White noise at a quarter of full scale, the same for the same seed, in any of the formats. */
export function noise(format: StreamFormat, seconds: number, seed = 1): Buffer {
  const { sampleBytes } = sampleFormat(format.format);
  const pcm = silentFrames(format, seconds);
  const random = xorshift(seed);
  for (let at = 0; at < pcm.length; at += sampleBytes) {
    writeSample(pcm, at, format.format, random());
  }
  return pcm;
}

/** @param value 32 random bits, signed */
function writeSample(pcm: Buffer, at: number, format: string, value: number): void {
  switch (format) {
    case 's16le':
      return void pcm.writeInt16LE(value >> 18, at);
    case 's16be':
      return void pcm.writeInt16BE(value >> 18, at);
    case 's24-32le':
      return void pcm.writeInt32LE(value >> 10, at);
    case 's24-32be':
      return void pcm.writeInt32BE(value >> 10, at);
    case 's32le':
      return void pcm.writeInt32LE(value >> 2, at);
    case 's32be':
      return void pcm.writeInt32BE(value >> 2, at);
    case 'float32le':
      return void pcm.writeFloatLE(value / 2 ** 33, at);
    case 'float32be':
      return void pcm.writeFloatBE(value / 2 ** 33, at);
    default:
      pcm.writeUInt8(value & 0xff, at);
  }
}

/** Marsaglia's generator of 32 bits: each call yields the next number, signed. */
function xorshift(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** Where decoded music is kept, below the project's root. */
export const MUSIC_DIR = 'build/signals';

/**
 * The start of the recording that scripts/setup installs, as s16le stereo of that rate; decoded once.
 *
 * @throws Error of sox
 */
export async function music(rate: number, seconds: number): Promise<Buffer> {
  const dir = join(paths.root, MUSIC_DIR);
  const file = join(dir, `music-${rate}-${seconds}.s16le`);
  if (!existsSync(file)) {
    mkdirSync(dir, { recursive: true });
    const partial = `${file}.${process.pid}`;
    const raw = [
      '-t',
      'raw',
      '-e',
      'signed-integer',
      '-b',
      '16',
      '-L',
      '-c',
      '2',
      '-r',
      String(rate),
      partial,
    ];
    const args = ['-D', DEFAULT_RECORDING, ...raw, 'trim', '0', String(seconds)];
    await promisify(execFile)('sox', args, { timeout: DECODE_TIMEOUT_MS });
    renameSync(partial, file);
  }
  return readFileSync(file);
}

/** A tone that rises from 100 to 800 Hz, the same in all channels, at a quarter of full scale, as samples of one. */
export function chirp(rate: number, seconds: number): Float64Array {
  const samples = new Float64Array(Math.round(rate * seconds));
  for (let at = 0; at < samples.length; at += 1) {
    const t = at / rate;
    samples[at] = 0.25 * Math.sin(2 * Math.PI * t * (100 + (350 * t) / seconds));
  }
  return samples;
}

/** Samples as s16le frames, the same in all channels. */
export function toS16(samples: Float64Array, channels: number): Buffer {
  const pcm = Buffer.alloc(samples.length * channels * 2);
  samples.forEach((sample, at) => {
    const value = Math.round(sample * 32767);
    for (let channel = 0; channel < channels; channel += 1) {
      pcm.writeInt16LE(value, (at * channels + channel) * 2);
    }
  });
  return pcm;
}

/** s16le stereo as mono: its left channel. */
export function onlyLeft(pcm: Buffer): Buffer {
  const left = Buffer.alloc(pcm.length / 2);
  for (let at = 0; at < left.length; at += 2) {
    left.writeInt16LE(pcm.readInt16LE(at * 2), at);
  }
  return left;
}

/** The first channel of s16le frames as samples. */
export function firstChannel(pcm: Buffer, channels: number): Float64Array {
  const samples = new Float64Array(Math.floor(pcm.length / channels / 2));
  for (let at = 0; at < samples.length; at += 1) {
    samples[at] = pcm.readInt16LE(at * channels * 2) / 32767;
  }
  return samples;
}

export interface Likeness {
  /** Where the signal is found best, samples. */
  at: number;
  /** 1: the same but for its loudness; 0: nothing in common. */
  correlation: number;
  /** How much louder it is there, decibel. */
  gainDb: number;
  /** From the first to the last sample above the threshold, seconds. */
  seconds: number;
}

/** A hundredth of full scale: above what rounding and filters leave in silence. */
const AUDIBLE = 0.01;

/** Compares a signal with the place in a recording of the same rate where it resembles it most. */
export function likeness(signal: Float64Array, recorded: Float64Array, rate: number): Likeness {
  const first = recorded.findIndex((sample) => Math.abs(sample) > AUDIBLE);
  const last = recorded.findLastIndex((sample) => Math.abs(sample) > AUDIBLE);
  const slack = Math.round(rate / 100);
  let best = { at: 0, correlation: 0, gainDb: -Infinity };
  for (let at = Math.max(0, first - slack); at <= first + slack; at += 1) {
    const found = resemblance(signal, recorded.subarray(at, at + signal.length));
    best = found.correlation > best.correlation ? { at, ...found } : best;
  }
  return { ...best, seconds: first < 0 ? 0 : (last - first + 1) / rate };
}

function resemblance(a: Float64Array, b: Float64Array): { correlation: number; gainDb: number } {
  let [ab, aa, bb] = [0, 0, 0];
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const [x, y] = [a[at] ?? 0, b[at] ?? 0];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return bb === 0
    ? { correlation: 0, gainDb: -Infinity }
    : { correlation: ab / Math.sqrt(aa * bb), gainDb: 10 * Math.log10(bb / aa) };
}
