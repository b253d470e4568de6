// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { shouldAttach } from '../../../../controller/toolstack/decision.js';

const RUNNING = { runs: true, isStubdomain: false, hasCard: false, hadCard: false };

describe('attaching by policy', () => {
  it('gives a running guest without a card what the policy says', () => {
    assert.equal(shouldAttach('modules', RUNNING), 'now');
    assert.equal(shouldAttach('kernel', RUNNING), 'now');
    assert.equal(shouldAttach('no', RUNNING), 'never');
  });

  it('waits until the guest runs', () => {
    assert.equal(shouldAttach('modules', { ...RUNNING, runs: false }), 'later');
  });

  it('leaves a domain alone that has a card, had one, or is the helper of another', () => {
    for (const fact of ['hasCard', 'hadCard', 'isStubdomain'] as const) {
      assert.equal(shouldAttach('modules', { ...RUNNING, [fact]: true }), 'never', fact);
      assert.equal(shouldAttach('modules', { ...RUNNING, runs: false, [fact]: true }), 'never', fact);
    }
  });
});
