// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

const whole = (min: number, max: number): z.ZodNumber =>
  z.number().int(`a whole number from ${min} to ${max}`).min(min).max(max);

const percent = whole(0, 150);

const device = z
  .string()
  .regex(
    /^[A-Za-z0-9._:-]{1,128}$/,
    'the name of a sink or source, 1 to 128 letters, digits, dots, colons, dashes or underscores',
  )
  .describe('Name of a PulseAudio sink or source; "default" is the server\'s default.');

/** By length and by hand: not all that read JSON Schema know the classes of Unicode. */
const printable = (what: string): z.ZodString =>
  z
    .string()
    .min(1)
    .max(128)
    .refine((text) => !/\p{C}/u.test(text), `${what}, in printable characters`);

/** A guest as an administrator names it. */
const guest = printable('the UUID of a VM, its name or a pattern').describe(
  'UUID of a VM, its name, or a pattern of names with * (anything) and ? (one character).',
);

const Latency = z
  .strictObject({
    'min-msec': whole(1, 2000).describe('Least latency that a guest is given, in milliseconds.').optional(),
    'max-msec': whole(1, 2000).describe('Most latency that a guest is given, in milliseconds.').optional(),
  })
  .refine(({ 'min-msec': min, 'max-msec': max }) => min === undefined || max === undefined || min <= max, {
    path: ['min-msec'],
    error: 'a latency not above max-msec',
  });

const Limits = z
  .strictObject({
    streams: whole(1, 256)
      .describe('Streams that a guest may have connected, over all its cards.')
      .optional(),
    'buffer-bytes': whole(4096, 4_194_304).describe('Largest buffer of one stream, in octets.').optional(),
    channels: whole(1, 32).describe('Most channels of one stream.').optional(),
    'rate-min': whole(1000, 384_000).describe('Lowest sample rate, in Hz.').optional(),
    'rate-max': whole(1000, 384_000).describe('Highest sample rate, in Hz.').optional(),
  })
  .refine(({ 'rate-min': min, 'rate-max': max }) => min === undefined || max === undefined || min <= max, {
    path: ['rate-min'],
    error: 'a rate not above rate-max',
  });

const settings = {
  playback: z.enum(['allow', 'deny']).describe('Whether a guest may play.').optional(),
  capture: z
    .enum(['allow', 'deny', 'ask'])
    .describe('Whether a guest may record: always, never, or when somebody allows it.')
    .optional(),
  'volume-cap': percent.describe('Highest volume, in percent.').optional(),
  volume: percent.describe('Volume of a guest that nobody has set another for, in percent.').optional(),
  mute: z.boolean().describe('Whether a guest is muted as long as nobody has said otherwise.').optional(),
  sink: device.optional(),
  source: device.optional(),
  latency: Latency.describe("Bounds of what a guest's latency asks of dom0's sound card.").optional(),
  limits: Limits.describe('What a guest may have.').optional(),
  attach: z
    .enum(['no', 'modules', 'kernel'])
    .describe(
      'Whether a guest that starts without a sound card gets one: cards for module-xen-sink and module-xen-source, or one for the driver of its kernel.',
    )
    .optional(),
} as const;

/** What a rule, or the default, says of a guest. */
export const PolicySettings = z.strictObject(settings);
export type PolicySettings = z.infer<typeof PolicySettings>;

/** One rule: for whom, and what. */
export const PolicyRule = z.strictObject({
  name: printable('a name').describe('For people: what messages call this rule.').optional(),
  guests: z
    .union([guest.transform((one) => [one]), z.array(guest).min(1).max(1024)], {
      error: 'the UUID of a VM, its name or a pattern, or a list of them',
    })
    .describe('For whom.'),
  ...settings,
});
export type PolicyRule = z.infer<typeof PolicyRule>;

/** The policy file: the first rule that names a guest decides; what it leaves out, the default says. */
export const Policy = z.strictObject({
  default: PolicySettings.describe('For everything that no rule says.').prefault({}),
  rules: z.array(PolicyRule).max(1024).describe('The first that names a guest decides.').default([]),
});
export type Policy = z.infer<typeof Policy>;
