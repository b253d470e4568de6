// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Host, soundCard, SPEAKERS } from '../../host/host.js';
import { frontendPath, Guest } from '../../host/guest.js';
import { PulseDaemon } from '../../host/pulse-daemon.js';
import { logFrom, playSilence } from '../../lib/e2e-lifecycle.js';
import { isHeard } from '../../lib/e2e-lifecycle-ear.js';
import { paths } from '../../lib/paths.js';
import { Toolstack, ToolstackError } from '../../lib/toolstack.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 60_000;
const SINK_MODULE = 'module-xen-sink';
/** What `pactl load-module` may take when nobody answers. */
const LOAD_MS = 1000;
/** Leaves less than a small buffer of what gntalloc lets a domain grant. */
const LARGE_BYTES = 4 * 1024 * 1024 - 65_536;

/** Module arguments, and what the log must say about them. */
const wrongArguments: readonly (readonly [string, RegExp])[] = [
  ['colour=blue', /Failed to parse the module's arguments "colour=blue"; usage: sink_name=/],
  ['device=abc', /device=abc: expected the index of a vsnd card, as in "0", or card\/pcm\/stream/],
  ['device=0/0', /device=0\/0: expected the index of a vsnd card/],
  ['device=-1', /device=-1: expected the index of a vsnd card/],
  ['device=0/3/0', /device\/vsnd\/0\/3\/0 is no playback stream/],
  ['rate=abc', /rate=abc: expected a number from 8000 to 192000/],
  ['rate=4000', /rate=4000: expected a number from 8000 to 192000/],
  ['rate=384000', /rate=384000: expected a number from 8000 to 192000/],
  ['format=s24le', /format=s24le cannot be carried by sndif; one of u8, s16le/],
  ['format=mp3', /format=mp3: no such sample format; expected one as in "s16le"/],
  ['channels=9', /channels=9: expected a number from 1 to 8/],
  [
    'channels=2 channel_map=left,right,center',
    /channel_map=left,right,center: expected as many positions as channels \(2\)/,
  ],
  ['min_latency_msec=5000', /min_latency_msec=5000 is more than the buffer holds: 65536 octets/],
  ['min_latency_msec=soon', /min_latency_msec=soon: expected a number from 1 to 10000/],
  [
    'min_latency_msec=50 max_latency_msec=20',
    /min_latency_msec=50 is more than the buffer holds: .*20\.0 ms/,
  ],
  ['max_latency_msec=0', /max_latency_msec=0: expected a number from 1 to 10000/],
  ['sink_properties=%garbage%', /Invalid sink_properties=: expected name='value' pairs/],
];

describe('end to end: what module-xen-sink refuses', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;

  before(async () => {
    host = await Host.start();
    guest = await host.addGuest();
  });

  after(async () => {
    await host.stop();
  });

  for (const [args, reason] of wrongArguments) {
    it(`says what is wrong with ${args}`, async () => {
      const before = await host.counts();
      const log = logFrom(guest.pulse.logFile);
      await assert.rejects(guest.client.loadModule(SINK_MODULE, args), /Module initialization failed/);
      await waitFor(`the log to say ${reason}`, () => reason.test(log()), { detail: log });
      await waitFor('nothing to be held', async () => {
        const now = await host.counts();
        return JSON.stringify(now) === JSON.stringify(before);
      });
    });
  }

  it('says that there is no xenstore', async () => {
    const dir = join(host.dir, 'nowhere');
    mkdirSync(dir);
    const env = { ...guest.domain.env, XENSTORED_PATH: join(dir, 'xenstored.sock') };
    const pulse = new PulseDaemon({
      name: 'PulseAudio without xenstore',
      machine: guest.domain.machine,
      dir,
      moduleDir: paths.coreBuildDir,
      env: () => env,
      modules: [],
    });
    await pulse.start();
    try {
      await assert.rejects(pulse.client.loadModule(SINK_MODULE), /Module initialization failed/);
      assert.match(
        readFileSync(pulse.logFile, 'utf8'),
        /Connecting to xenstore failed: No such file or directory\. Is this a Xen guest, with the kernel's modules/,
      );
    } finally {
      await pulse.stop();
    }
  });

  it('says that a card has no playback stream', async () => {
    const card = { pcm: [{ streams: [{ type: 'c' as const }] }] };
    await host.changeCard(guest, card);
    const log = logFrom(guest.pulse.logFile);
    await assert.rejects(guest.client.loadModule(SINK_MODULE), /Module initialization failed/);
    assert.match(log(), /Card vsnd-0: device\/vsnd\/0 has no playback stream/);
  });

  it("says which of the card's nodes makes no sense, or what they do not allow", async () => {
    await host.changeCard(guest, { ...soundCard('narrow'), sampleRates: [48000] });
    const log = logFrom(guest.pulse.logFile);
    await assert.rejects(guest.client.loadModule(SINK_MODULE, 'rate=44100'));
    assert.match(log(), /Card vsnd-0 refuses these arguments: rate 44100 Hz is not among its sample-rates/);

    const path = `${frontendPath(guest.domain.domid, 0)}/sample-rates`;
    await host.xen.store.write(path, 'fast');
    await assert.rejects(guest.client.loadModule(SINK_MODULE));
    assert.match(log(), /Card vsnd-0: device\/vsnd\/0\/sample-rates is "fast", expected rates in Hz/);
  });

  it('lets one module only use a card', async () => {
    await host.changeCard(guest);
    await guest.loadSink('device=0');
    const log = logFrom(guest.pulse.logFile);

    await assert.rejects(guest.client.loadModule(SINK_MODULE, 'sink_name=two device=0'));

    assert.match(log(), /Card vsnd-0 is used by module #\d+ already: unload that, or choose another card/);
    await guest.connected();
    await isHeard(host, SPEAKERS, guest);
  });
});

describe('end to end: what module-xen-sink waits for', function () {
  this.timeout(TEST_MS);
  let host: Host;

  beforeEach(async () => {
    host = await Host.start();
  });

  afterEach(async () => {
    await host.stop();
  });

  /** Loading returns at once, and the sink takes sound in real time although nobody plays it. */
  async function loadsAndKeepsTime(guest: Guest): Promise<void> {
    const begin = performance.now();
    await guest.loadSink();
    const tookMs = performance.now() - begin;
    assert.ok(tookMs < LOAD_MS, `the module was loaded in ${Math.round(tookMs)} ms`);

    const tookPlayingMs = await playSilence(guest, 2);
    assert.ok(
      tookPlayingMs > 1500 && tookPlayingMs < 4500,
      `2 s were played in ${Math.round(tookPlayingMs)} ms`,
    );
  }

  it('plays nowhere without a backend, and connects when there is one', async () => {
    const guest = await host.addGuest({ pulse: false });
    await host.removeCard(guest);
    await host.stopController();
    const impatient = new Toolstack(host.xen.store, 100);
    await assert.rejects(impatient.addVsnd(guest.domain.domid, 0, soundCard('late')), ToolstackError);
    await guest.pulse.start();

    await loadsAndKeepsTime(guest);

    await host.startController();
    await guest.connected();
    await isHeard(host, SPEAKERS, guest);
  });

  it('plays nowhere without a card, and connects when it is added', async () => {
    const guest = await host.addGuest({ pulse: false });
    await host.removeCard(guest);
    await guest.pulse.start();

    await loadsAndKeepsTime(guest);

    await host.addCard(guest);
    await guest.connected();
    await isHeard(host, SPEAKERS, guest);
  });

  it('says why it cannot use a card that comes later', async () => {
    const guest = await host.addGuest({ pulse: false });
    await host.removeCard(guest);
    await guest.pulse.start();
    await guest.loadSink('rate=44100');
    const log = logFrom(guest.pulse.logFile);

    const card = { ...soundCard('narrow'), sampleRates: [48000] };
    await host.addCard(guest, card);
    const reason =
      'Card vsnd-0: rate 44100 Hz is not among its sample-rates; choose another with rate=, or add it there. Playing nowhere';
    await waitFor('the reason in the log', () => log().includes(reason), { detail: log });
    await playSilence(guest, 2);
  });

  it('waits for memory to grant that another sink has, and connects when that is unloaded', async () => {
    await host.changePolicy([{ guests: '*', limits: { 'buffer-bytes': LARGE_BYTES } }]);
    const guest = await host.addGuest({ card: { ...soundCard('large'), bufferSizeBytes: LARGE_BYTES } });
    await host.xen.addCard(guest.domain, 1, soundCard('small'));
    const large = await guest.loadSink('sink_name=large device=0 rate=192000 channels=8 format=s32le');
    await guest.connected();
    const log = logFrom(guest.pulse.logFile);

    await guest.loadSink('device=1');
    const reason = /Card vsnd-1: granting .* failed: No space left on device\. Playing nowhere/;
    await waitFor('the reason in the log', () => reason.test(log()), { detail: log });
    await guest.client.unloadModule(large);

    await guest.connected(1);
    await isHeard(host, SPEAKERS, guest);
  });
});
