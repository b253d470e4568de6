// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: processes that stand still are the machine that sleeps. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { captureIs, sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { Desktop } from '../../lib/e2e-dbus.js';
import { backendModulesOf, isPlaying, sinkInputsOf } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { quantile } from '../../lib/e2e-probe.js';
import { noise } from '../../lib/e2e-signals.js';
import { InhibitStandIn, Login } from '../../lib/faults-login.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 60_000;
const NOISE_SECONDS = 60;
const PLAYER_LATENCY_MS = 100;
const SLEEP_MS = 2_000;
/** Of the latency a stream tells of itself, once a second. */
const LOOKS = 4;
/** What a busy machine may add to one look. */
const LATENCY_SLACK_USEC = 30_000;
const VOLUME = 30_000;

describe('end to end: dom0 sleeps', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let desktop: Desktop;
  let inhibit: InhibitStandIn;
  let login: Login;
  let owned: OwnedProcess[];
  let speakers: Ear;
  let inGuest: Ear;

  const logOf = (): string => readFileSync(host.controller.logFile, 'utf8');

  before(async () => {
    inhibit = InhibitStandIn.install();
    host = await Host.start({
      ...{ xen: 'emulated', guests: 1, sourceArgs: '', mayRecord: ['guest1'] },
      nullSinkArgs: 'norewinds=1',
    });
    const [first] = host.guests;
    assert.ok(first !== undefined);
    guest = first;
    desktop = new Desktop(host);
    login = await Login.connect(host.bus.address);
    const pcm = noise(FORMAT, NOISE_SECONDS);
    const file = join(guest.dir, 'noise.pcm');
    await guest.domain.machine.write(file, pcm);
    owned = [
      guest.client.play(guest.sink ?? '', file, FORMAT, { latencyMs: PLAYER_LATENCY_MS }),
      await speak(host, pcm, FORMAT),
    ];
    await isPlaying(host, guest);
    speakers = await Ear.open(host, SPEAKERS);
    inGuest = await Ear.inGuest(host, guest);
    await desktop.setVolume(guest, VOLUME);
    await inGuest.hears();
  });

  after(async () => {
    await login.close();
    await Promise.all([speakers.close(), inGuest.close(), ...owned.map((process) => process.stop())]);
    await host.stop();
    inhibit.remove();
  });

  const soundsAgain = async (): Promise<void> => {
    await Promise.all([speakers.hears(), inGuest.hears()]);
  };

  const latencyUsec = async (): Promise<number> => {
    const looks: number[] = [];
    let position = '';
    while (looks.length < LOOKS) {
      position = await waitFor('the stream to tell of itself', async () => {
        const now = await host.streamNode(guest, 'position-frames');
        return now === position ? undefined : now;
      });
      looks.push(Number(await host.streamNode(guest, 'latency-usec')));
    }
    return quantile(
      looks.sort((a, b) => a - b),
      0.5,
    );
  };

  it('without logind: nothing happens, and that is said once, for who looks for it', async () => {
    const said = (): string[] => logOf().match(/no org\.freedesktop\.login1 on the bus/g) ?? [];
    await waitFor('it to be said', () => said().length > 0);
    await login.pretend(true);
    await login.delivered();
    await soundsAgain();
    assert.equal(said().length, 1);
    assert.deepEqual(inhibit.events(), []);
  });

  it('after the streams have paused, and latency and volume are what they were when it has woken up', async () => {
    await login.takeName();
    await inhibit.has(1, 'taken');
    assert.match(inhibit.events()[0] ?? '', /--what=sleep --mode=delay --who=xen-audio/);
    const modules = await backendModulesOf(host, guest);
    const before = await latencyUsec();

    login.prepareForSleep(true);
    await inhibit.has(2, 'released');
    assert.deepEqual(await sinkInputsOf(host, guest), []);
    assert.deepEqual(await sourceOutputsOf(host, guest), []);
    const machine = [host.pulse.pid, guest.pulse.pid, host.controller.pid, ...owned.map(({ pid }) => pid)];
    for (const pid of machine) process.kill(pid ?? 0, 'SIGSTOP');
    await sleep(SLEEP_MS); // what is tested is that much time
    for (const pid of machine) process.kill(pid ?? 0, 'SIGCONT');
    login.prepareForSleep(false);

    await soundsAgain();
    await inhibit.has(3, 'taken');
    assert.deepEqual(await backendModulesOf(host, guest), modules);
    const after = await latencyUsec();
    assert.ok(after < before + LATENCY_SLACK_USEC, `latency was ${before} usec and is ${after} usec`);
    assert.equal(await desktop.volume(guest), VOLUME);
    await captureIs(host, guest, { active: '1' });
  });

  it('says nobody but logind', async () => {
    const stranger = await Login.connect(host.bus.address);
    try {
      stranger.prepareForSleep(true);
      await stranger.pretend(true);
      await stranger.delivered();
      await soundsAgain();
      assert.equal(inhibit.events().length, 3);
    } finally {
      await stranger.close();
    }
  });

  it('and logind is gone before it says that it has woken up: the streams go on', async () => {
    login.prepareForSleep(true);
    await inhibit.has(4, 'released');
    await login.close();
    await soundsAgain();
    login = await Login.connect(host.bus.address);
    await login.takeName();
    await inhibit.has(5, 'taken');
  });

  it('not later for a daemon that is killed', async () => {
    await host.killController();
    await inhibit.has(6, 'released');
    await host.startController();
    await inhibit.has(7, 'taken');
    await soundsAgain();
  });
});
