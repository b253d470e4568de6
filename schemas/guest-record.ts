// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

/** 65536 is 100 %, the most is what PulseAudio's mixers offer (`PA_VOLUME_UI_MAX`), rounded up to 150 %. */
export const VOLUME_NORM = 65_536;
export const VOLUME_MAX = 98_304;

/** A volume as PulseAudio counts (`pa_volume_t`). */
export const Volume = z.number().int().min(0).max(VOLUME_MAX);

const deviceName = z.string().regex(/^[A-Za-z0-9._:-]{1,128}$/);

/**
 * Leave to record that was given by hand: until a moment (milliseconds of CLOCK_REALTIME), or else. `once-begun`: for the
 * recording that has begun.
 */
export const CaptureLeave = z.union([
  z.enum(['once', 'once-begun', 'always', 'never']),
  z.strictObject({ untilMs: z.number().int().min(0) }),
]);
export type CaptureLeave = z.infer<typeof CaptureLeave>;

/** What is kept of a guest while it is not there; what is absent has not been set by anyone. */
export const GuestRecord = z.strictObject({
  volume: Volume.optional(),
  mute: z.boolean().optional(),
  capture: CaptureLeave.optional(),
  sink: deviceName.optional(),
  source: deviceName.optional(),
});
export type GuestRecord = z.infer<typeof GuestRecord>;

/** The file: records by UUID of the VM. */
export const GuestRecords = z.record(z.string().regex(/^[0-9a-f-]{36}$/), GuestRecord);
export type GuestRecords = z.infer<typeof GuestRecords>;
