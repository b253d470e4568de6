// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CaptureConfig } from '../../schemas/config.js';
import { quoted } from '../util/text.js';
import type { PolicyDecision } from './decision.js';

/** What tells guests apart: written by the toolstack, out of the guest's reach. */
export interface GuestIdentity {
  /** UUID of the VM in lower case; empty when the toolstack wrote none. */
  readonly uuid: string;
  /** Its name, unchanged; empty when it has none. */
  readonly xenName: string;
}

/**
 * Whether a guest may record. An entry of the form of a UUID is compared with UUIDs alone, so that a guest named like
 * another one's UUID does not pass for it.
 */
export const evaluateCapture = ({ allowed }: CaptureConfig, guest: GuestIdentity): PolicyDecision => {
  const names = allowed.filter((entry) => !UUID.test(entry));
  if (allowed.some((entry) => UUID.test(entry) && entry.toLowerCase() === guest.uuid)) {
    return { allowed: true, reason: `capture.allowed has its UUID ${guest.uuid}` };
  }
  if (names.includes(guest.xenName)) {
    return { allowed: true, reason: `capture.allowed has its name ${quoted(guest.xenName)}` };
  }
  return {
    allowed: false,
    reason: `capture.allowed has neither its UUID ${guest.uuid} nor its name ${quoted(guest.xenName)}`,
  };
};

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
