// SPDX-License-Identifier: LGPL-2.1-or-later
import type { AudioApi } from './api/audio-api.js';
import type { ClockPort } from './device/ports.js';
import type { GuestPolicy } from './policy/evaluate.js';

/** A module lets go of a sink or source within a few milliseconds. */
const SILENCE_TIMEOUT_MS = 1_000;

/**
 * What holds while the machine falls asleep, sleeps and wakes up: for guests it is as if there were no sound card. So nothing
 * rendered before sounds after, and leave to record that ends meanwhile has ended before the first sample: timers do not
 * run in sleep.
 */
export const whileAsleep = (policy: GuestPolicy): GuestPolicy => {
  const reason = 'the machine is about to sleep';
  return {
    ...policy,
    ...{ playback: 'deny', capture: 'deny' },
    reasons: { ...policy.reasons, playback: reason, capture: reason },
  };
};

/** Resolves when no guest has a stream in the mixer any more, or at the time limit. */
export const silenced = async (api: AudioApi, clock: ClockPort): Promise<void> => {
  let end: () => void = () => undefined;
  const isSilent = (): boolean => api.guests().every(({ sink, source }) => sink === '' && source === '');
  const done = new Promise<void>((resolve) => (end = resolve));
  const look = (): void => {
    if (isSilent()) end();
  };
  const unsubscribe = api.subscribe({ changed: look, captureRequested: () => undefined });
  const cancel = clock.after(SILENCE_TIMEOUT_MS, end);
  try {
    look();
    await done;
  } finally {
    cancel();
    unsubscribe();
  }
};
