// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CaptureLeave } from '../../schemas/guest-record.js';

export type CapturePolicy = 'allow' | 'deny' | 'ask';

/** All that decides whether a guest may record. */
export interface ConsentFacts {
  /** What the policy file says. */
  readonly policy: CapturePolicy;
  /** What was said by hand. */
  readonly leave: CaptureLeave | undefined;
  /** CLOCK_REALTIME. */
  readonly nowMs: number;
}

export interface ConsentDecision {
  readonly allowed: boolean;
  readonly reason: string;
}

/** Whether a guest gets the microphone when it asks. The file's "deny" is the last word. */
export const decideConsent = ({ policy, leave, nowMs }: ConsentFacts): ConsentDecision => {
  if (policy === 'deny') return { allowed: false, reason: 'policy says deny' };
  if (leave === 'never') return { allowed: false, reason: 'it was denied by hand' };
  if (leave === 'always') return { allowed: true, reason: 'it was allowed by hand, always' };
  if (leave === 'once' || leave === 'once-begun')
    return { allowed: true, reason: 'it was allowed by hand, once' };
  if (leave !== undefined && nowMs < leave.untilMs)
    return { allowed: true, reason: 'it was allowed by hand, for a time' };
  return policy === 'allow'
    ? { allowed: true, reason: 'policy says allow' }
    : { allowed: false, reason: 'policy says ask, and nobody has allowed it' };
};

/** What policy says to the outside: what was said by hand for good is part of it. */
export const effectivePolicy = (policy: CapturePolicy, leave: CaptureLeave | undefined): CapturePolicy => {
  if (policy === 'deny' || leave === 'never') return 'deny';
  return leave === 'always' ? 'allow' : policy;
};

/**
 * What a "no" leaves behind. Where the file says ask, nothing: it asks again another time. Where it says allow,
 * the "no" must be kept, or the next look at the file would undo it.
 */
export const leaveAfterDenial = (policy: CapturePolicy): CaptureLeave | undefined =>
  policy === 'allow' ? 'never' : undefined;

/** What leave is when a recording has begun: a controller that is started anew must know which one it was for. */
export const leaveAfterBeginning = (leave: CaptureLeave | undefined): CaptureLeave | undefined =>
  leave === 'once' ? 'once-begun' : leave;

/** What is left of leave when a recording has ended. */
export const leaveAfterRecording = (leave: CaptureLeave | undefined): CaptureLeave | undefined =>
  leave === 'once-begun' ? undefined : leave;
