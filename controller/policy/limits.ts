// SPDX-License-Identifier: LGPL-2.1-or-later
import { CARRIED_FORMATS, type Capabilities } from '../sndif/capabilities.js';
import type { PolicyDecision } from './decision.js';
import type { GuestLimits } from './evaluate.js';

/** What a guest's stream may be opened with. */
export const offeredCapabilities = (limits: GuestLimits): Capabilities => ({
  formats: CARRIED_FORMATS,
  rates: [],
  rateMin: limits.rateMin,
  rateMax: limits.rateMax,
  channelsMin: 1,
  channelsMax: limits.channels,
  bufferBytesMax: limits.bufferBytes,
});

/**
 * Whether a guest may have its card's streams connected. Connected is not playing or recording: see the guest.
 * @param others streams the guest has connected on its other cards
 * @param wanted streams of this card
 */
export const evaluateConnection = (limits: GuestLimits, others: number, wanted: number): PolicyDecision =>
  others + wanted > limits.streams
    ? {
        allowed: false,
        reason: `the guest would have ${others + wanted} streams, policy's limits.streams is ${limits.streams}`,
      }
    : { allowed: true, reason: 'within the limits' };
