// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only, for time: what desktop tools and administrators do, from D-Bus to samples. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { controlPath, PLAYBACK_STREAM, type Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { captureIs, sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { inMixer, awaitInMixer, sliderOf } from '../../lib/e2e-control.js';
import { Desktop, NORM } from '../../lib/e2e-dbus.js';
import { backendModulesOf } from '../../lib/e2e-lifecycle.js';
import { compare } from '../../lib/e2e-play.js';
import { Bystander, LATENCY_MS, withoutSilence } from '../../lib/e2e-lifecycle-bystander.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { noise, silentFrames } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { Random } from '../../lib/random.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 120_000;
const NOISE_SECONDS = 200;
/** Time to listen before the first sound. */
const LEAD_IN_SECONDS = 2;
/** A quarter of a second. */
const STRAY_FRAMES = FORMAT.rate / 4;
const CHANGES = 500;
/** What policy lets a guest have, in percent, and as PulseAudio counts. */
const CAP_PERCENT = 80;
const CAP = Math.round((NORM * CAP_PERCENT) / 100);
/** What PulseAudio's mixers offer. */
const SLIDER_END = 99_957;

const pcm = noise(FORMAT, NOISE_SECONDS);

/** A host with guests that play all the time. */
async function startHost(guests: number, policy: Record<string, unknown>): Promise<Host> {
  return Host.start({ xen: 'emulated', guests, sourceArgs: '', policy });
}

function guestOf(host: Host, index: number): Guest {
  const guest = host.guests[index];
  assert.ok(guest !== undefined);
  return guest;
}

async function startPlayer(guest: Guest): Promise<OwnedProcess> {
  const file = join(guest.dir, 'noise.pcm');
  await guest.domain.machine.write(file, pcm);
  return guest.client.play(guest.sink ?? '', file, FORMAT, { latencyMs: LATENCY_MS });
}

describe("the volume of a guest, on D-Bus, in dom0's mixer and in xenstore", function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let desktop: Desktop;
  let player: OwnedProcess;

  before(async () => {
    host = await startHost(1, { 'volume-cap': CAP_PERCENT });
    guest = guestOf(host, 0);
    desktop = new Desktop(host);
    player = await startPlayer(guest);
    await awaitInMixer(host, guest);
  });

  after(async () => {
    await player.stop();
    await host.stop();
  });

  const mixer = async (): Promise<number> => {
    const stream = await inMixer(host, guest);
    return Math.max(...(stream === undefined ? [-1] : sliderOf(stream)));
  };

  const inXenstore = async (node: 'volume' | 'volume-set'): Promise<{ serial: number; value: number }> => {
    const path = `${controlPath(guest.domain.domid, 0)}/${PLAYBACK_STREAM}/${node}`;
    const [serial, value] = ((await host.xen.store.tryRead(path)) ?? '').split(' ').map(Number);
    return { serial: serial ?? -1, value: value ?? -1 };
  };

  const allAre = async (volume: number): Promise<void> => {
    let views: number[] = [];
    const agree = async (): Promise<boolean> => {
      views = [await desktop.volume(guest), await mixer(), (await inXenstore('volume')).value];
      return views.every((view) => view === volume);
    };
    await waitFor(`all views to be ${volume}`, agree, { timeoutMs: 5_000, detail: () => views.join(', ') });
  };

  it('is one, whoever sets it', async () => {
    await allAre(CAP);
    await desktop.setVolume(guest, 20_000);
    await allAre(20_000);
    const { index } = await awaitInMixer(host, guest);
    await host.client.pactl('set-sink-input-volume', String(index), '30000');
    await allAre(30_000);
    await host.client.pactl('set-sink-input-volume', String(index), '65536');
    await allAre(CAP);
    await assert.rejects(desktop.setVolume(guest, CAP + 1), /is above VolumeCap/);
    await allAre(CAP);
  });

  it('mutes, whoever mutes', async () => {
    await desktop.set(guest, 'Mute', 'b', 'true');
    await waitFor('the mixer to be mute', async () => (await inMixer(host, guest))?.mute === true);
    const { index } = await awaitInMixer(host, guest);
    await host.client.pactl('set-sink-input-mute', String(index), '0');
    await waitFor('D-Bus to say so', async () => (await desktop.get(guest, 'Mute')) === false);
  });

  it(`is one after ${CHANGES} changes from both sides, never above the cap, and then nothing moves`, async () => {
    const random = new Random(7);
    const { index } = await awaitInMixer(host, guest);
    const before = await inXenstore('volume-set');
    let ours = 0;
    let highest = 0;
    for (let change = 0; change < CHANGES;) {
      const batch = Array.from({ length: 1 + random.below(3) }, () => {
        change += 1;
        if (random.below(2) === 0) {
          ours += 1;
          return desktop.setVolume(guest, random.below(CAP));
        }
        const volume = String(random.below(SLIDER_END / 2) * 2);
        return host.client.pactl('set-sink-input-volume', String(index), volume);
      });
      await Promise.all(batch);
      highest = Math.max(highest, (await inXenstore('volume')).value, await desktop.volume(guest));
    }
    await waitFor(
      'the last request to be answered',
      async () => (await inXenstore('volume')).serial === (await inXenstore('volume-set')).serial,
    );
    await allAre(await mixer());
    assert.ok(highest <= CAP, `${highest} was seen, the cap is ${CAP}`);
    assert.equal(
      (await inXenstore('volume-set')).serial - before.serial,
      ours,
      'one request for each call of ours',
    );
  });

  it('is kept for the VM while its card is away', async () => {
    await desktop.setVolume(guest, 12_345);
    await allAre(12_345);
    await host.changeCard(guest);
    await guest.connected();
    await awaitInMixer(host, guest);
    await allAre(12_345);
  });
});

describe('a guest that asks for the microphone', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let desktop: Desktop;
  let voice: OwnedProcess;
  let monitor: OwnedProcess;
  let messages: string;

  before(async () => {
    host = await startHost(1, { capture: 'ask' });
    guest = guestOf(host, 0);
    desktop = new Desktop(host);
    voice = await speak(host, pcm, FORMAT);
    messages = join(host.dir, 'messages');
    monitor = await desktop.monitor(messages);
  });

  after(async () => {
    await monitor.stop();
    await voice.stop();
    await host.stop();
  });

  const asked = (): number =>
    readFileSync(messages, 'utf8').match(/"member":"CaptureRequested"/g)?.length ?? 0;

  it('is announced, heard once allowed, and no longer when denied', async () => {
    const ear = await Ear.inGuest(host, guest);
    await waitFor('the signal', () => asked() === 1);
    await ear.hearsNothing();
    assert.deepEqual(
      await Promise.all(
        ['CaptureRequested', 'CaptureAllowed', 'CaptureActive'].map((name) => desktop.get(guest, name)),
      ),
      [true, false, false],
    );

    await desktop.call(guest, 'AllowCaptureOnce');
    await ear.hears();
    assert.equal(await desktop.get(guest, 'CaptureActive'), true);

    await desktop.call(guest, 'DenyCapture');
    assert.deepEqual(await sourceOutputsOf(host), [], 'gone when the call returns');
    await ear.hearsNothing();

    await desktop.call(guest, 'AllowCaptureFor', 'u', '2');
    await ear.hears();
    await captureIs(host, guest, { active: '0' });
    await ear.hearsNothing();
    await ear.close();
  });

  it('may record once, and not again', async () => {
    await captureIs(host, guest, { requested: '0' }); // otherwise it is the recording before that is allowed
    await desktop.call(guest, 'AllowCaptureOnce');
    const ear = await Ear.inGuest(host, guest);
    await ear.hears();
    await ear.close();
    await captureIs(host, guest, { requested: '0', capture: '0' });
  });

  it('is told no by a policy that says deny, and so is who would allow it', async () => {
    await host.changePolicy([{ guests: guest.domain.name, capture: 'deny' }]);
    await assert.rejects(desktop.call(guest, 'AllowCaptureAlways'), /capture: deny/);
    await host.changePolicy([]);
  });
});

describe('what is done to one guest', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let first: Guest;
  let second: Guest;
  let desktop: Desktop;
  let bystander: Bystander;

  before(async () => {
    host = await startHost(2, {});
    [first, second] = [guestOf(host, 0), guestOf(host, 1)];
    desktop = new Desktop(host);
    const file = join(second.dir, 'noise.pcm');
    await second.domain.machine.write(file, Buffer.concat([silentFrames(FORMAT, LEAD_IN_SECONDS), pcm]));
    bystander = await Bystander.create(host, second, file);
    await desktop.call(second, 'SetRoute', 'ss', 'playback', 'bystander');
  });

  after(async () => {
    await bystander.stop();
    await host.stop();
  });

  it('by a policy that changes while it plays, leaves the other one alone', async () => {
    const player = await startPlayer(first);
    try {
      await bystander.play(pcm, async () => {
        const ear = await Ear.open(host, SPEAKERS);
        await ear.hears();
        await host.changePolicy([{ guests: first.domain.name, playback: 'deny', 'volume-cap': 50 }]);
        await ear.hearsNothing();
        assert.equal(await desktop.get(first, 'PlaybackAllowed'), false);
        assert.equal(await desktop.get(second, 'PlaybackAllowed'), true);
        assert.equal(await desktop.volume(second), NORM);
        await host.changePolicy([]);
        await ear.hears();
        await ear.close();
      });
    } finally {
      await player.stop();
    }
  });

  it('while the controller is killed and returns, is as before in every stream, and can be changed', async () => {
    await host.changePolicy([{ guests: first.domain.name, capture: 'allow' }]);
    await desktop.setVolume(first, NORM);
    const [player, voice] = [await startPlayer(first), await speak(host, pcm, FORMAT)];
    const recording = await Ear.inGuest(host, first);
    const ear = await Ear.open(host, SPEAKERS);
    const modules = async (): Promise<number[]> => [
      ...(await backendModulesOf(host, first)),
      ...(await backendModulesOf(host, second)),
    ];
    try {
      await recording.hears();
      await ear.hears();
      await bystander.play(pcm, async () => {
        const before = await modules();
        await host.killController();
        await ear.hears(1);
        await host.startController();
        await ear.hears(1);
        await recording.hears(1);
        assert.deepEqual(await modules(), before, 'the same modules');
        const list = await desktop.ctl('list');
        for (const { domain } of [first, second]) {
          assert.match(list, new RegExp(`${domain.name} +${domain.domid} +connected`));
        }
        assert.equal(await desktop.get(first, 'CaptureActive'), true);
      });
      isWhole(await ear.close(), 'what the first guest played');
      isWhole(await recording.close(), 'what it recorded', STRAY_FRAMES);
      await desktop.setVolume(first, 40_000);
      await waitFor('the mixer', async () => sliderOf(await awaitInMixer(host, first))[0] === 40_000);
    } finally {
      await player.stop();
      await voice.stop();
    }
  });

  it("by bounds of latency is what dom0's sink works with", async () => {
    const configuredUsec = async (): Promise<number> => {
      const text = await host.client.pactl('list', 'sinks');
      return Number(new RegExp(`Name: ${SPEAKERS}$[^]*?configured (\\d+) usec`, 'm').exec(text)?.[1]);
    };
    const player = await startPlayer(first);
    try {
      await awaitInMixer(host, first);
      for (const [minMs, maxMs] of [
        [1, 30],
        [700, 900],
      ] as const) {
        const latency = { 'min-msec': minMs, 'max-msec': maxMs };
        await host.changePolicy([{ guests: first.domain.name, latency }]);
        const isWithin = async (): Promise<boolean> => {
          const usec = await configuredUsec();
          return usec >= minMs * 1000 && usec <= maxMs * 1000;
        };
        await waitFor(`a latency from ${minMs} to ${maxMs} ms`, isWithin);
      }
    } finally {
      await player.stop();
      await host.changePolicy([]);
    }
  });

  it('of another kind: cards come and go over D-Bus', async () => {
    const third = await host.addGuest({ name: 'late' });
    await host.removeCard(third);
    assert.deepEqual(await desktop.manager('Attach', 'ss', 'late', 'modules'), [[0, 1]]);
    await assert.rejects(desktop.manager('Attach', 'ss', 'late', 'modules'), /has card "0", "1": detach/);
    await third.loadSink();
    await third.connected();
    assert.equal(await desktop.get(third, 'State'), 'connected');
    await desktop.manager('Detach', 'su', 'late', '0');
    await desktop.manager('Detach', 'su', 'late', '1');
    const isGone = (): Promise<boolean> =>
      desktop.get(third, 'State').then(
        () => false,
        () => true,
      );
    await waitFor('the guest to have gone with its last card', isGone);
  });

  it('before it is suspended: its cards are let go, and come back', async () => {
    await desktop.manager('PrepareSuspend', 's', first.domain.name);
    assert.equal(await desktop.get(first, 'State'), 'suspended');
    assert.deepEqual(await backendModulesOf(host, first), []);
    await desktop.manager('FinishSuspend', 's', first.domain.name);
    await first.connected();
    assert.equal(await desktop.get(first, 'State'), 'connected');
  });
});

/**
 * Every frame once, and in its order; but for what a machine that is busy loses of a microphone, whose time does not wait: the
 * controller takes longer to come back.
 */
function isWhole(heard: Buffer, what: string, strayFrames = 0): void {
  const piece = withoutSilence(heard);
  const begin = pcm.indexOf(piece.subarray(0, 256));
  assert.ok(begin >= 0, `${what} is what was sent`);
  const found = compare(pcm.subarray(begin, begin + piece.length), piece, FORMAT);
  const stray = found.lostFrames + found.insertedFrames + found.differingFrames;
  assert.ok(stray <= strayFrames, `${what} has gaps: ${JSON.stringify(found)}`);
}
