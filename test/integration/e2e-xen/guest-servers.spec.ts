// SPDX-License-Identifier: LGPL-2.1-or-later
/** On real Xen only: a guest's sound server that plays on its kernel's card, with nothing of ours installed. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { loadDriver, unloadDriver } from '../../lib/e2e-alsa.js';
import { compare, countersOf, playAndRecord } from '../../lib/e2e-play.js';
import { noise } from '../../lib/e2e-signals.js';

const TEST_MS = 120_000;
const SECONDS = 4;
const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = 'format=s16le rate=48000 channels=2';
describe("a guest's sound server on the card of its kernel", function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;

  before(async () => {
    host = await Host.start({ xen: 'real', nullSinkArgs: spec });
    guest = await host.addGuest();
    await loadDriver(guest);
  });

  after(async () => {
    await unloadDriver(host, guest);
    await host.stop();
  });

  it("PulseAudio's module-alsa-sink arrives sample for sample", async () => {
    const index = await guest.client.loadModule('module-alsa-sink', `device=hw:0,0 sink_name=alsa ${spec}`);
    const pcm = noise(format, SECONDS);
    const received = await playAndRecord({
      from: { client: guest.client, sink: 'alsa' },
      to: { client: host.client, sink: SPEAKERS },
      pcm,
      format,
      dir: guest.dir,
      options: { latencyMs: 200 },
    });
    await guest.client.unloadModule(index);
    const result = compare(pcm, received, format);
    assert.equal(result.exact, true, JSON.stringify({ ...result, ...(await countersOf(host, guest)) }));
  });
});
