// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host, SPEAKERS } from '../../host/host.js';
import { countersOf, Recorder, type Place } from '../../lib/e2e-play.js';
import { probeLatency, quantile } from '../../lib/e2e-probe.js';

/** Measured without a gap; a machine that stalls has some with one, which say nothing. */
const DRAINS = 3;
const DRAINS_MAX = 9;
/** The recording's timing is exact to about this. */
const EARLIEST_USEC = -3000;
const LATEST_USEC = 60_000;
const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = 'format=s16le rate=48000 channels=2';

const cases = [
  { name: 'a dom0 sink of 50 ms blocks', nullSinkArgs: `${spec} norewinds=1`, latencyMs: 20 },
  { name: 'a dom0 sink of 50 ms blocks', nullSinkArgs: `${spec} norewinds=1`, latencyMs: 200 },
  { name: 'a dom0 sink left at its own latency', nullSinkArgs: spec, latencyMs: 20 },
  { name: 'a dom0 sink left at its own latency', nullSinkArgs: spec, latencyMs: 200 },
];

describe('end to end: a drain in the guest', function () {
  this.timeout(90_000);
  let host: Host;

  afterEach(async () => {
    await host.stop();
  });

  for (const { name, nullSinkArgs, latencyMs } of cases) {
    it(`ends when the last frame has been heard: ${latencyMs} ms into ${name}`, async () => {
      host = await Host.start({ guests: 1, nullSinkArgs, sinkArgs: spec });
      const [guest] = host.guests;
      assert.ok(guest);
      const from: Place = { client: guest.client, sink: guest.sink ?? '' };
      const to: Place = { client: host.client, sink: SPEAKERS };
      const recorder = await Recorder.start(to, format, host.dir); // brings the sink to rest before the probe
      try {
        const afterUsec: number[] = [];
        let gaps = 0;
        while (afterUsec.length < DRAINS && afterUsec.length + gaps < DRAINS_MAX) {
          const before = await countersOf(host, guest);
          const result = await probeLatency({ from, to, rate: format.rate, latencyMs, impulses: 1 });
          const { last_heard_usec, drained_usec } = result.drain;
          assert.ok(last_heard_usec !== null, 'the last frame was not heard');
          // A gap at the end, on a machine that stalls, comes after the end was foretold.
          const after = await countersOf(host, guest);
          if (after.underruns === before.underruns) afterUsec.push(drained_usec - last_heard_usec);
          else gaps += 1;
        }
        const figures = `ended ${afterUsec.join(', ')} usec after the last frame was heard; ${gaps} with a gap`;
        assert.ok(afterUsec.length > 0, figures);
        assert.ok(Math.min(...afterUsec) >= EARLIEST_USEC, figures);
        const sorted = afterUsec.toSorted((a, b) => a - b);
        assert.ok(quantile(sorted, 0.5) <= LATEST_USEC, figures);
      } finally {
        await recorder.stop();
      }
    });
  }
});
