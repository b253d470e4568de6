// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { Backoff, RateLimit } from '../../../../controller/util/retry.js';

describe('Backoff', () => {
  it('doubles up to the ceiling and starts again after a reset', () => {
    const backoff = new Backoff(100, 1000);

    assert.deepEqual(
      [1, 2, 3, 4, 5, 6].map(() => backoff.fail()),
      [100, 200, 400, 800, 1000, 1000],
    );
    backoff.reset();
    assert.equal(backoff.fail(), 100);
  });

  it('has free failures, which a grave one uses up at once', () => {
    const backoff = new Backoff(100, 1000, 2);

    assert.deepEqual([backoff.fail(), backoff.fail(), backoff.fail()], [0, 0, 100]);
    backoff.reset();
    assert.equal(backoff.fail(true), 100);
    assert.equal(backoff.fail(), 200);
  });
});

describe('RateLimit', () => {
  it('allows a burst, then a steady rate', () => {
    const limit = new RateLimit(2, 10);

    assert.deepEqual([limit.take(1000), limit.take(1000), limit.take(1000)], [0, 0, 100]);
    assert.equal(limit.take(1100), 0);
    assert.equal(limit.take(1150), 50);
  });
});
