// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host } from '../../host/host.js';
import { compare, countersOf, playAndRecord, routeTo } from '../../lib/e2e-play.js';
import { music, noise } from '../../lib/e2e-signals.js';
import type { StreamFormat } from '../../lib/pulse.js';
import { FULL } from '../../lib/scale.js';

const SECONDS = FULL ? 60 : 30;
/** Much more than a busy machine stalls for. */
const PLAYER_LATENCY_MS = 300;
const stereo = (rate: number): StreamFormat => ({ format: 's16le', rate, channels: 2 });

/** Each has a guest and a sink in dom0 of its own, so that all can play at the same time. */
const cases = [44_100, 48_000].flatMap((rate) => [
  { name: `a recording at ${rate} Hz`, sink: `music_${rate}`, rate, signal: () => music(rate, SECONDS) },
  {
    name: `noise at ${rate} Hz`,
    sink: `noise_${rate}`,
    rate,
    signal: () => Promise.resolve(noise(stereo(rate), SECONDS)),
  },
]);

describe(`end to end: ${SECONDS} s of s16le stereo`, function () {
  this.timeout((SECONDS + 120) * 1000);
  let host: Host;
  const passages = new Map<string, Promise<void>>();

  before(async () => {
    host = await Host.start();
    for (const { name, sink, rate, signal } of cases) {
      const format = stereo(rate);
      const spec = `format=s16le rate=${rate} channels=2`;
      await host.client.loadModule('module-null-sink', `sink_name=${sink} ${spec}`);
      const guest = await host.addGuest();
      await guest.loadSink(spec);
      await guest.connected();

      const pcm = await signal();
      const passage = playAndRecord({
        from: { client: guest.client, sink: guest.sink ?? '' },
        to: { client: host.client, sink },
        pcm,
        format,
        dir: guest.dir,
        options: { latencyMs: PLAYER_LATENCY_MS, leadInSeconds: 2 },
        whilePlaying: () => routeTo(host, guest, sink),
      }).then(async (received) => {
        const result = compare(pcm, received, format);
        const counters = await countersOf(host, guest);
        assert.equal(result.exact, true, `${JSON.stringify({ ...result, ...counters })}\n${guest.logTail()}`);
        assert.equal(result.matchedFrames, SECONDS * rate);
      });
      passage.catch(() => undefined); // its test reports the failure
      passages.set(name, passage);
    }
  });

  after(async () => {
    await Promise.allSettled(passages.values());
    await host.stop();
  });

  for (const { name } of cases) {
    it(`${name} arrives sample for sample`, async () => {
      await passages.get(name);
    });
  }
});
