// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

/** Longest text a xenstore node may hold, in octets; what is longer is refused before it is looked at. */
export const NODE_BYTES_MAX = 4096;

const U32_MAX = 0xffff_ffff;

/**
 * A number written as xenstore wants it: decimal, without sign, blanks or leading zeros.
 * @param what the field's name in error messages
 */
export const decimal = (what: string, min: number, max: number): z.ZodType<number, string> =>
  z.string().transform((text, context) => {
    const value = /^(?:0|[1-9][0-9]{0,9})$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    context.addIssue(`${what}: a decimal number from ${min} to ${max}`);
    return z.NEVER;
  });

/** Domain ids below Xen's reserved range (`DOMID_FIRST_RESERVED`). */
export const DomId = decimal('domid', 0, 0x7fef);
/** Index of a card in its guest. */
export const DevId = decimal('devid', 0, 0xffff);
/** Grant reference; sndif reserves 0 for "none". */
export const GrantRef = decimal('grant reference', 1, U32_MAX);
/** Event channel port; the bound is that of Xen's FIFO ABI. */
export const EvtchnPort = decimal('event channel port', 1, 0x1_ffff);
/** Channels of one stream. */
export const ChannelCount = decimal('channels', 1, 0xff);
/** Size of one stream's buffer in octets. */
export const BufferBytes = decimal('octets', 1, U32_MAX);
/** Frames a second. */
export const SampleRate = decimal('sample rate in Hz', 1, U32_MAX);
/** A `feature-…` node. */
export const FeatureFlag = decimal('feature', 0, 1).transform((value) => value === 1);

/** Format names of `xen/io/sndif.h`; the position is the format's number on the wire. */
export const SAMPLE_FORMATS = [
  's8',
  'u8',
  's16_le',
  's16_be',
  'u16_le',
  'u16_be',
  's24_le',
  's24_be',
  'u24_le',
  'u24_be',
  's32_le',
  's32_be',
  'u32_le',
  'u32_be',
  'float_le',
  'float_be',
  'float64_le',
  'float64_be',
  'iec958_subframe_le',
  'iec958_subframe_be',
  'mu_law',
  'a_law',
  'ima_adpcm',
  'mpeg',
  'gsm',
] as const;
export type SampleFormat = (typeof SAMPLE_FORMATS)[number];

/** What libxl writes where sndif has another name. */
const FORMAT_ALIASES: Readonly<Record<string, SampleFormat>> = {
  f32_le: 'float_le',
  f32_be: 'float_be',
  f64_le: 'float64_le',
  f64_be: 'float64_be',
};

const isSampleFormat = (name: string): name is SampleFormat =>
  (SAMPLE_FORMATS as readonly string[]).includes(name);

const LIST_ITEMS_MAX = 64;

/** A comma list without blanks and without empty items, each at most `itemLengthMax` characters. */
const commaList = (what: string, itemLengthMax: number): z.ZodType<string[], string> =>
  z.string().transform((text, context) => {
    const items = text.split(',', LIST_ITEMS_MAX + 1);
    const sound = items.every((item) => item.length > 0 && item.length <= itemLengthMax && !/\s/.test(item));
    if (sound && items.length <= LIST_ITEMS_MAX) return items;
    context.addIssue(`a list of ${what} separated by commas, without blanks, at most ${LIST_ITEMS_MAX}`);
    return z.NEVER;
  });

/** `sample-rates`: a set of rates, in the order given. */
export const SampleRateList = commaList('sample rates', 11).transform((items, context) => {
  const rates = items.map((item) => SampleRate.safeParse(item));
  const values = rates.flatMap((rate) => (rate.success ? [rate.data] : []));
  if (values.length === rates.length) return [...new Set(values)];
  context.addIssue('sample rates: decimal numbers in Hz, for example 44100,48000');
  return z.NEVER;
});

/** `sample-formats`: a set of format names, libxl's spellings included. */
export const SampleFormatList = commaList('sample formats', 24).transform((items, context) => {
  const formats: SampleFormat[] = [];
  for (const item of items) {
    const name = FORMAT_ALIASES[item] ?? item;
    if (isSampleFormat(name)) formats.push(name);
    else context.addIssue(`sample formats of sndif.h, for example s16_le`);
  }
  return [...new Set(formats)];
});
