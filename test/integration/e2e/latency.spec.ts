// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host, SPEAKERS } from '../../host/host.js';
import type { PcmComparison } from '../../lib/compare-pcm.js';
import { compare, countersOf, play, playAndRecord, Recorder, type Place } from '../../lib/e2e-play.js';
import { latencyErrors, probeLatency, quantile } from '../../lib/e2e-probe.js';
import { noise } from '../../lib/e2e-signals.js';
import { FULL, IN_LAB } from '../../lib/scale.js';

const SECONDS = FULL ? 60 : 20;
const IMPULSES = 40;
const TOLERANCE_USEC = 5000;
const GUEST_BUFFER_MS = 20;
const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = 'format=s16le rate=48000 channels=2';
/** Played by PulseAudio alone, beside ours. */
const SIBLING = 'sibling';

const kinds = [
  { name: 'a dom0 sink of 50 ms blocks', nullSinkArgs: `${spec} norewinds=1` },
  { name: 'a dom0 sink left at its own latency', nullSinkArgs: spec },
];

/** A machine that is shared may stall when PulseAudio alone happens not to need it; none of that is lost. */
const GAPS_SECONDS_MAX = 0.1;

const lost = (c: PcmComparison): number => c.lostFrames + c.differingFrames;
const deviations = (c: PcmComparison): number => c.lostFrames + c.insertedFrames + c.differingFrames;

for (const { name, nullSinkArgs } of kinds) {
  describe(`end to end: a guest's buffer of ${GUEST_BUFFER_MS} ms into ${name}`, function () {
    this.timeout((SECONDS + 120) * 1000);
    let host: Host;
    let from: Place;
    let to: Place;

    beforeEach(async () => {
      const sinkArgs = `${spec} max_latency_msec=${GUEST_BUFFER_MS}`;
      host = await Host.start({ guests: 1, nullSinkArgs, sinkArgs });
      const [guest] = host.guests;
      assert.ok(guest);
      from = { client: guest.client, sink: guest.sink ?? '' };
      to = { client: host.client, sink: SPEAKERS };
    });

    afterEach(async () => {
      await host.stop();
    });

    it(`loses nothing in ${SECONDS} s where PulseAudio alone loses nothing, and has no more gaps`, async () => {
      const [guest] = host.guests;
      assert.ok(guest);
      await host.client.loadModule('module-null-sink', `sink_name=${SIBLING} ${nullSinkArgs}`);
      const local: Place = { client: host.client, sink: SIBLING };
      const pcm = noise(format, SECONDS);
      const options = { latencyMs: GUEST_BUFFER_MS, leadInSeconds: 2 };
      const common = { pcm, format, options };

      const [ours, alone] = await Promise.all([
        playAndRecord({ ...common, from, to, dir: guest.dir }),
        playAndRecord({ ...common, from: local, to: local, dir: host.dir }),
      ]);

      const result = compare(pcm, ours, format);
      const reference = compare(pcm, alone, format);
      const { underruns, lateBytes } = await countersOf(host, guest);
      const figures = JSON.stringify({ ours: { ...result, underruns, lateBytes }, alone: reference });
      console.log(`      ${figures}`);
      if (underruns === 0 && lateBytes === 0) {
        // a player that the guest's own sound server finds late has a gap there, which is none of ours
        assert.equal(lost(result), 0, `lost without an underrun: ${figures}`);
      }
      if (deviations(reference) === 0) {
        assert.equal(lost(result), 0, `PulseAudio alone lost nothing: ${figures}`);
      }
      const gapsMax = IN_LAB ? 0 : reference.insertedFrames + GAPS_SECONDS_MAX * format.rate;
      assert.ok(result.insertedFrames <= gapsMax, figures);
    });

    it('reports the latency that is', async () => {
      const recorder = await Recorder.start(to, format, host.dir); // brings the sink to rest before the probe
      try {
        const result = await probeLatency({
          from,
          to,
          rate: format.rate,
          latencyMs: GUEST_BUFFER_MS,
          impulses: IMPULSES,
        });
        const errors = latencyErrors(result);
        const figures = `median ${quantile(errors, 0.5)}, tenth ${quantile(errors, 0.1)}, nine tenths ${quantile(errors, 0.9)} usec`;
        console.log(`      heard later than reported: ${figures}`);
        assert.ok(errors.length >= IMPULSES * 0.9, `${errors.length} of ${IMPULSES} impulses were heard`);
        assert.ok(Math.abs(quantile(errors, 0.5)) <= TOLERANCE_USEC, figures);
      } finally {
        await recorder.stop();
      }
    });
  });
}

describe('end to end: into a dom0 sink that has rendered two seconds of silence ahead', function () {
  this.timeout(90_000);
  const PLAYED_SECONDS = 6;
  /** The head start, and as much again for a busy machine. */
  const LATEST_END_MS = (PLAYED_SECONDS + 4) * 1000;
  let host: Host;

  afterEach(async () => {
    await host.stop();
  });

  it('plays everything, and soon after', async () => {
    host = await Host.start({ guests: 1, nullSinkArgs: spec, sinkArgs: spec });
    const [guest] = host.guests;
    assert.ok(guest);
    const speakers: Place = { client: host.client, sink: SPEAKERS };
    const pcm = noise(format, PLAYED_SECONDS);
    await host.client.pactl('suspend-sink', SPEAKERS, '1');
    await host.client.pactl('suspend-sink', SPEAKERS, '0');

    const recorder = await Recorder.start(speakers, format, host.dir, { settle: false });
    const started = performance.now();
    const from: Place = { client: guest.client, sink: guest.sink ?? '' };
    const player = await play(from, pcm, format, guest.dir, { latencyMs: 200, leadInSeconds: 0.5 });
    try {
      await player.succeeded(60_000);
      const tookMs = performance.now() - started;
      const result = compare(pcm, await recorder.finish(), format);
      const figures = JSON.stringify({ tookMs, ...result, ...(await countersOf(host, guest)) });
      assert.equal(deviations(result), 0, figures);
      assert.ok(tookMs < LATEST_END_MS, figures);
    } finally {
      await player.stop();
      await recorder.stop();
    }
  });
});
