// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import {
  decideConsent,
  effectivePolicy,
  leaveAfterBeginning,
  leaveAfterDenial,
  leaveAfterRecording,
  type CapturePolicy,
} from '../../../../controller/guest/consent.js';
import type { CaptureLeave } from '../../../../schemas/guest-record.js';

describe('consent to record', () => {
  const NOW_MS = 1_000_000;
  const later = { untilMs: NOW_MS + 1 };
  const over = { untilMs: NOW_MS };
  const table: [CapturePolicy, CaptureLeave | undefined, boolean, CapturePolicy][] = [
    ['deny', undefined, false, 'deny'],
    ['deny', 'always', false, 'deny'],
    ['deny', 'once', false, 'deny'],
    ['deny', later, false, 'deny'],
    ['ask', undefined, false, 'ask'],
    ['ask', 'never', false, 'deny'],
    ['ask', 'once', true, 'ask'],
    ['ask', 'once-begun', true, 'ask'],
    ['ask', 'always', true, 'allow'],
    ['ask', later, true, 'ask'],
    ['ask', over, false, 'ask'],
    ['allow', undefined, true, 'allow'],
    ['allow', 'never', false, 'deny'],
    ['allow', 'always', true, 'allow'],
    ['allow', over, true, 'allow'],
  ];
  for (const [policy, leave, allowed, says] of table) {
    it(`with "${policy}" in the file and ${leave === undefined ? 'nothing' : JSON.stringify(leave)} by hand: ${allowed ? 'yes' : 'no'}`, () => {
      assert.equal(decideConsent({ policy, leave, nowMs: NOW_MS }).allowed, allowed);
      assert.equal(effectivePolicy(policy, leave), says);
    });
  }

  it('keeps a no only where the file would undo it', () => {
    assert.deepEqual(
      (['ask', 'deny', 'allow'] as const).map((policy) => leaveAfterDenial(policy)),
      [undefined, undefined, 'never'],
    );
  });

  it('ends leave for once with the recording it was for, and no other', () => {
    const leaves = ['once', 'once-begun', 'always', 'never', later, undefined] as const;
    assert.deepEqual(
      leaves.map((leave) => leaveAfterBeginning(leave)),
      ['once-begun', 'once-begun', 'always', 'never', later, undefined],
    );
    assert.deepEqual(
      leaves.map((leave) => leaveAfterRecording(leave)),
      ['once', undefined, 'always', 'never', later, undefined],
    );
  });
});
