// SPDX-License-Identifier: LGPL-2.1-or-later
import { SystemClock } from '../../controller/adapters/system/system-clock.js';
import type { LogPort, XenstorePort } from '../../controller/device/ports.js';
import { Guests } from '../../controller/guest/guests.js';
import type { GuestPolicy } from '../../controller/policy/evaluate.js';
import { policyWith } from './policies.js';

/** Guests of which nothing is kept and nobody is told. @param says what policy says of all of them, asked each time */
export const guestsOf = (
  xenstore: XenstorePort,
  log: LogPort,
  says: () => Partial<GuestPolicy> = () => ({}),
): Guests =>
  new Guests({
    xenstore,
    clock: new SystemClock(),
    log,
    records: { read: () => ({}), write: () => undefined },
    policyOf: () => policyWith(says()),
    events: { changed: () => undefined, captureRequested: () => undefined },
    levels: false,
    suspendedDomidOf: () => undefined,
  });
