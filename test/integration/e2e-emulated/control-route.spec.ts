// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: the test stands in for the controller, over dom0's own connection to xenstore. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, MIC_FEED, MICROPHONE, SPEAKERS } from '../../host/host.js';
import { addMicrophone, captureIs } from '../../lib/e2e-capture.js';
import { awaitInMixer, Control, inMixer } from '../../lib/e2e-control.js';
import { logFrom } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { play } from '../../lib/e2e-play.js';
import { noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';

const TEST_MS = 120_000;
const NOISE_SECONDS = 90;
const HEADPHONES = 'headphones';
const LATE = 'late';

async function startHost(): Promise<{ host: Host; guest: Guest }> {
  const host = await Host.start({ xen: 'emulated' });
  try {
    await host.client.pactl('set-default-sink', SPEAKERS);
    const guest = await host.addGuest();
    await guest.loadSink();
    await guest.loadSource();
    await guest.connected();
    await host.stopController();
    return { host, guest };
  } catch (error) {
    await host.stop();
    throw error;
  }
}

const addSink = (host: Host, name: string): Promise<number> =>
  host.client.loadModule('module-null-sink', `sink_name=${name}`);

describe("end to end: where a guest's sound goes", function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let control: Control;
  let player: OwnedProcess;
  let headphones: number;

  before(async () => {
    ({ host, guest } = await startHost());
    headphones = await addSink(host, HEADPHONES);
    control = await Control.of(host, guest);
    await startPlayer();
  });

  after(async () => {
    await player.stop();
    await host.stop();
  });

  async function startPlayer(): Promise<void> {
    const place = { client: guest.client, sink: guest.sink ?? '' };
    player = await play(place, noise(FORMAT, NOISE_SECONDS), FORMAT, guest.dir, { leadInSeconds: 0 });
    await awaitInMixer(host, guest);
  }

  async function hears(sink: string): Promise<void> {
    const ear = await Ear.open(host, sink);
    try {
      await ear.hears();
    } finally {
      await ear.close();
    }
  }

  it('is where the settings say, and then where the controller says', async () => {
    await control.reports('device', SPEAKERS);
    await control.order('device', HEADPHONES);
    await hears(HEADPHONES);
  });

  it('stays there when the default changes, and is there again when it has gone and returned', async () => {
    await host.client.pactl('set-default-sink', MIC_FEED);
    assert.equal(await control.read('device'), control.report('device', HEADPHONES));
    await host.client.unloadModule(headphones);
    await control.reports('device', MIC_FEED);
    headphones = await addSink(host, HEADPHONES);
    await control.reports('device', HEADPHONES);
  });

  it('follows the default once the controller names none', async () => {
    await control.order('device', '', MIC_FEED);
    await host.client.pactl('set-default-sink', SPEAKERS);
    await control.reports('device', SPEAKERS);
  });

  it('stays where it is while the sink that is named does not exist, and moves when it appears', async () => {
    const log = logFrom(host.pulse.logFile);
    await control.order('device', LATE, SPEAKERS);
    assert.match(log(), new RegExp(`shall be at ${LATE}, which does not exist`));
    await addSink(host, LATE);
    await control.reports('device', LATE);
    await hears(LATE);
  });

  it('is reported when a user of dom0 moves it, and is the same when the stream starts again', async () => {
    const { index } = await awaitInMixer(host, guest);
    await host.client.pactl('move-sink-input', String(index), HEADPHONES);
    await control.reports('device', HEADPHONES);

    await player.stop();
    await control.reports('device', '', 20_000);
    await startPlayer();

    await control.reports('device', HEADPHONES);
  });
});

describe("end to end: where a guest's microphone is", function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let control: Control;
  let ear: Ear;
  let other: string;
  let another: string;

  before(async () => {
    ({ host, guest } = await startHost());
    other = await addMicrophone(host, 'desk');
    another = await addMicrophone(host, 'hall');
    control = await Control.of(host, guest, 'capture');
    await control.write('capture', '1');
    ear = await Ear.inGuest(host, guest);
    await captureIs(host, guest, { active: '1' });
  });

  after(async () => {
    await ear.close();
    await host.stop();
  });

  it('is where the policy says, and then where the controller or a user says', async () => {
    await control.reports('device', MICROPHONE);
    await control.order('device', other);
    const { index } = await awaitInMixer(host, guest, 'source-outputs');
    await host.client.pactl('move-source-output', String(index), another);
    await control.reports('device', another);
  });

  it('is no monitor that nobody has named, and one that the controller names', async () => {
    const { index } = await awaitInMixer(host, guest, 'source-outputs');
    const monitor = `${SPEAKERS}.monitor`;
    await assert.rejects(host.client.pactl('move-source-output', String(index), monitor));
    assert.equal(await control.read('device'), control.report('device', another));
    await control.order('device', monitor);
    await control.order('device', other);
    await assert.rejects(host.client.pactl('move-source-output', String(index), monitor));
  });

  it('has a volume and a mute that controller and user share', async () => {
    await control.order('volume', '30000');
    await control.order('mute', '1');
    const output = await awaitInMixer(host, guest, 'source-outputs');
    assert.deepEqual(
      Object.values(output.volume).map(({ value }) => value),
      [30000, 30000],
    );
    await host.client.pactl('set-source-output-mute', String(output.index), '0');
    await control.reports('mute', '0');
  });

  it('is none while the guest may not record, and the same when it may again', async () => {
    await control.write('capture', '0');
    await control.reports('device', '');
    await control.says('active', '0');
    assert.equal(await inMixer(host, guest, 'source-outputs'), undefined);
    await control.write('capture', '1');
    await control.reports('device', other);
    await control.reports('volume', '30000');
  });

  it('is none when leave makes no sense', async () => {
    await control.write('capture', 'yes');
    await control.says('active', '0');
    await control.reports('device', '');
  });
});
