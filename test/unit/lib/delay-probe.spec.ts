// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { delaysOf } from '../../lib/delay-probe.js';

describe('delays of frames', () => {
  it('are from the write to the arrival, a frame each millisecond, by one clock', () => {
    const played = [
      [1, 96, 1_000],
      [97, 48, 3_000],
    ] as [number, number, number][];
    const recorded = [
      [1, 60, 501_500],
      [61, 84, 504_000],
    ] as [number, number, number][];

    const delays = delaysOf(played, recorded, 500_000);

    assert.deepEqual(delays, { usec: [500, 1_000, 3_000], lostFrames: 0 });
  });

  it('are of those that came, which are told from those that did not', () => {
    const delays = delaysOf(
      [[1, 144, 0]],
      [
        [1, 50, 10],
        [96, 1, 20],
        [97, 10, 30],
      ],
      0,
    );

    assert.deepEqual(delays, { usec: [10, 20], lostFrames: 144 - 61 });
  });
});
