// SPDX-License-Identifier: LGPL-2.1-or-later
import { evaluatePolicy } from '../../controller/policy/evaluate.js';
import type { GuestPolicy } from '../../controller/policy/evaluate.js';
import { Policy } from '../../schemas/policy.js';

/** What no file says, with some of it said otherwise. */
export const policyWith = (changes: Partial<GuestPolicy>): GuestPolicy => ({
  ...evaluatePolicy(Policy.parse({}), { uuid: '', xenName: '' }),
  ...changes,
});
