// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { evaluatePolicy } from '../../../controller/policy/evaluate.js';
import { whileAsleep } from '../../../controller/sleep.js';

describe('policy while the machine sleeps', () => {
  const awake = evaluatePolicy(
    { default: { playback: 'allow', capture: 'allow', 'volume-cap': 50 }, rules: [] },
    { uuid: '', xenName: 'work' },
  );
  const asleep = whileAsleep(awake);

  it('lets nobody play or record, and says why', () => {
    assert.equal(asleep.playback, 'deny');
    assert.equal(asleep.capture, 'deny');
    for (const setting of ['playback', 'capture']) assert.match(asleep.reasons[setting] ?? '', /sleep/);
  });

  it('is otherwise what it was', () => {
    const { playback, capture, reasons } = awake;
    assert.deepEqual({ ...asleep, playback, capture, reasons }, awake);
  });
});
