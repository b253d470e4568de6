// SPDX-License-Identifier: LGPL-2.1-or-later
import type { SampleFormat } from '../../schemas/primitives.js';
import type { HwParams, StreamConfig } from '../../schemas/sndif.js';

/** What a stream may be opened with. */
export interface Capabilities {
  readonly formats: readonly SampleFormat[];
  /** Allowed rates in Hz; empty: any from `rateMin` to `rateMax`. */
  readonly rates: readonly number[];
  readonly rateMin: number;
  readonly rateMax: number;
  readonly channelsMin: number;
  readonly channelsMax: number;
  readonly bufferBytesMax: number;
}

/** Formats that sndif and PulseAudio share. */
export const CARRIED_FORMATS: readonly SampleFormat[] = [
  'u8',
  's16_le',
  's16_be',
  's24_le',
  's24_be',
  's32_le',
  's32_be',
  'float_le',
  'float_be',
  'mu_law',
  'a_law',
];

/** Capabilities, or what of them is empty. */
export type Narrowed =
  { readonly ok: true; readonly value: Capabilities } | { readonly ok: false; readonly reason: string };

/** The intersection of what dom0 offers with what card, PCM device and stream say. */
export const narrowStream = (offered: Capabilities, stream: StreamConfig): Narrowed => {
  const value = stream.levels.reduce(narrowLevel, offered);
  const reason = emptyReason(value, stream.levels);
  return reason === undefined ? { ok: true, value } : { ok: false, reason };
};

const narrowLevel = (from: Capabilities, level: HwParams): Capabilities => {
  const rates = narrowRates(from, level['sample-rates']);
  const formats = level['sample-formats'];
  return {
    formats: formats === undefined ? from.formats : from.formats.filter((format) => formats.includes(format)),
    rates: rates ?? from.rates,
    rateMin: rates === undefined ? from.rateMin : Math.min(...rates, from.rateMax),
    rateMax: rates === undefined ? from.rateMax : Math.max(...rates, 0),
    channelsMin: Math.max(from.channelsMin, level['channels-min'] ?? 0),
    channelsMax: Math.min(from.channelsMax, level['channels-max'] ?? Infinity),
    bufferBytesMax: Math.min(from.bufferBytesMax, level['buffer-size'] ?? Infinity),
  };
};

const narrowRates = (from: Capabilities, rates: readonly number[] | undefined): number[] | undefined =>
  rates?.filter(
    (rate) =>
      rate >= from.rateMin && rate <= from.rateMax && (from.rates.length === 0 || from.rates.includes(rate)),
  );

const emptyReason = (value: Capabilities, levels: readonly HwParams[]): string | undefined => {
  if (value.formats.length === 0) return 'none of its sample-formats can be carried';
  const restricted = levels.some((level) => level['sample-rates'] !== undefined);
  if (restricted && value.rates.length === 0) return 'none of its sample-rates is allowed';
  if (value.channelsMin > value.channelsMax) {
    return `it needs ${value.channelsMin} channels, at most ${value.channelsMax} are allowed`;
  }
  return undefined;
};
