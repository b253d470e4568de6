// SPDX-License-Identifier: LGPL-2.1-or-later
/** Only on the emulated Xen: domains that come back under another number, within milliseconds. bench/soak is the long form. */
import assert from 'node:assert/strict';

import { soak, type SoakReport } from '../../lib/soak.js';

const TEST_MS = 300_000;
const MINUTES = 2;
/** Printed when something fails: the same again with it. */
const SEED = 20_261_123;
const PLAYERS = 4;
/** What a busy machine may do to one stream and not to another; a guest that disturbs others does so all the time. */
const GAPS_MORE = 3;
/** Of each player. */
const FRAMES_MIN = 90 * 44_100;

describe('end to end: guests that come, go and crash beside others that play', function () {
  this.timeout(TEST_MS);
  let report: SoakReport;
  const lines: string[] = [];

  before(async () => {
    try {
      report = await soak({
        minutes: MINUTES,
        seed: SEED,
        players: PLAYERS,
        lightGuests: 16,
        latencyMs: 1000,
        say: (line) => lines.push(line),
      });
    } catch (error) {
      throw new Error(lines.join('\n'), { cause: error });
    }
  });

  it('lets every guest have what it asks for', () => {
    assert.deepEqual(report.failures, [], lines.join('\n'));
  });

  it('disturbs none of those that play', () => {
    for (const { name, frames, gaps } of report.players) {
      assert.ok(frames >= FRAMES_MIN, `${name} was heard for ${frames} frames`);
      assert.ok(
        gaps <= report.local.gaps + GAPS_MORE,
        `${name} has ${gaps} gaps, dom0's own player ${report.local.gaps}`,
      );
    }
  });

  it('holds in the end what it held before', () => {
    assert.deepEqual(report.after, report.before);
    assert.deepEqual(report.modules, [PLAYERS, PLAYERS]);
  });
});
