// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

const PATH_OR_ADDRESS_MAX = 1024;

const count = (min: number, max: number): z.ZodNumber =>
  z.number().int(`a whole number from ${min} to ${max}`).min(min).max(max);

/** A PulseAudio object name: what its protocol takes without quoting. */
const pulseName = z
  .string()
  .regex(/^[A-Za-z0-9._:-]{1,128}$/, '1 to 128 letters, digits, dots, colons, dashes or underscores');

const PulseConfig = z.strictObject({
  /** Address of the sound server, as in PULSE_SERVER; absent: the user's own. */
  server: z.string().min(1).max(PATH_OR_ADDRESS_MAX).optional(),
  modules: z.strictObject({ backend: pulseName.default('module-xen-backend') }).prefault({}),
  /** Sink that guests play to; absent: the server's default. */
  sink: pulseName.optional(),
  /** Source that guests record from; absent: the server's default. */
  source: pulseName.optional(),
});

/** A guest as an administrator names it: what has the form of a UUID is none's name. */
const guestName = z
  .string()
  .regex(/^[^\p{C}]{1,128}$/u, 'the UUID of a VM, or its name: 1 to 128 printable characters');

const CaptureConfig = z.strictObject({
  /** Guests that may record; nobody else hears anything. */
  allowed: z.array(guestName).max(1024).default([]),
});

const LimitsConfig = z.strictObject({
  /** Largest buffer of one stream, octets. */
  bufferBytesMax: count(4096, 16_777_216).default(262_144),
  channelsMax: count(1, 32).default(8),
  /** Hz. */
  rateMin: count(1000, 384_000).default(8000),
  rateMax: count(1000, 384_000).default(192_000),
  streamsPerGuestMax: count(1, 256).default(16),
});

const HandshakeConfig = z.strictObject({
  /** How long state 2 is held, so that the toolstack sees it (docs/protocol.md). */
  holdInitWaitMs: count(0, 9000).default(250),
  /** Longest time to connect the streams of a card, and to wait for the sound server. */
  timeoutMs: count(100, 60_000).default(10_000),
});

/** The daemon's configuration file; every setting has a default. */
export const DaemonConfig = z
  .strictObject({
    logLevel: z.enum(['error', 'warning', 'info', 'debug']).default('info'),
    pulse: PulseConfig.prefault({}),
    capture: CaptureConfig.prefault({}),
    limits: LimitsConfig.prefault({}),
    handshake: HandshakeConfig.prefault({}),
  })
  .refine((config) => config.limits.rateMin <= config.limits.rateMax, {
    path: ['limits', 'rateMin'],
    error: 'a rate not above limits.rateMax',
  });
export type DaemonConfig = z.infer<typeof DaemonConfig>;
export type LogLevel = DaemonConfig['logLevel'];
export type CaptureConfig = DaemonConfig['capture'];
export type LimitsConfig = DaemonConfig['limits'];
