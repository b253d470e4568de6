// SPDX-License-Identifier: LGPL-2.1-or-later
import type { LimitsConfig } from '../../schemas/config.js';
import { CARRIED_FORMATS, type Capabilities } from '../sndif/capabilities.js';
import type { PolicyDecision } from './decision.js';

/** What any guest's stream may be opened with. */
export const offeredCapabilities = (limits: LimitsConfig): Capabilities => ({
  formats: CARRIED_FORMATS,
  rates: [],
  rateMin: limits.rateMin,
  rateMax: limits.rateMax,
  channelsMin: 1,
  channelsMax: limits.channelsMax,
  bufferBytesMax: limits.bufferBytesMax,
});

/**
 * Whether a guest may have its card's streams connected. Connected is not recording: see `evaluateCapture`.
 * @param others streams the guest has connected on its other cards
 * @param wanted streams of this card
 */
export const evaluateConnection = (limits: LimitsConfig, others: number, wanted: number): PolicyDecision =>
  others + wanted > limits.streamsPerGuestMax
    ? {
        allowed: false,
        reason:
          `the guest would have ${others + wanted} streams, limits.streamsPerGuestMax is ` +
          `${limits.streamsPerGuestMax}`,
      }
    : { allowed: true, reason: 'within the limits' };
