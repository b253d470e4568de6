// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

const PATH_OR_ADDRESS_MAX = 1024;

const path = z.string().min(1).max(PATH_OR_ADDRESS_MAX);

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
});

const HandshakeConfig = z.strictObject({
  /** How long state 2 is held, so that the toolstack sees it (docs/protocol.md). */
  holdInitWaitMs: count(0, 9000).default(250),
  /** Longest time to connect the streams of a card, and to wait for the sound server. */
  timeoutMs: count(100, 60_000).default(10_000),
});

/** The daemon's configuration file; every setting has a default. */
export const DaemonConfig = z.strictObject({
  logLevel: z.enum(['error', 'warning', 'info', 'debug']).default('info'),
  pulse: PulseConfig.prefault({}),
  /** Who may play and record, and how loud: schemas/policy.ts. Read again when it changes. */
  policyFile: path.default('/etc/xen-audio/policy.yaml'),
  /** Where volumes and leave to record are kept, by VM. */
  stateDir: path.default('/var/lib/xen-audio'),
  /** The bus that desktop tools use: system, session, an address, or none. */
  dbus: z.string().min(1).max(PATH_OR_ADDRESS_MAX).default('system'),
  handshake: HandshakeConfig.prefault({}),
});
export type DaemonConfig = z.infer<typeof DaemonConfig>;
export type LogLevel = DaemonConfig['logLevel'];
