// SPDX-License-Identifier: LGPL-2.1-or-later
/** In the lab only, for logind needs root: systemd's own logind and systemd-inhibit. Without them: e2e-emulated/sleep.spec.ts. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { sinkInputsOf } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { RealLogin } from '../../lib/real-login.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 180_000;
const NOISE_SECONDS = 60;
const PLAYER_LATENCY_MS = 100;
/** logind lets the machine sleep then, whoever holds it up. */
const LOGIND_LIMIT_MS = 5_000;
const OURS = ['xen-audio: sleep, delay'];

describe("dom0 sleeps, by systemd's own logind", function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let login: RealLogin;
  let owned: OwnedProcess[];
  let ears: Ear[];

  before(async () => {
    host = await Host.start({ guests: 1, sourceArgs: '', mayRecord: ['guest1'] });
    const [first] = host.guests;
    assert.ok(first !== undefined);
    guest = first;
    const pcm = noise(FORMAT, NOISE_SECONDS);
    const file = `${guest.dir}/noise.pcm`;
    await guest.domain.machine.write(file, pcm);
    owned = [
      guest.client.play(guest.sink ?? '', file, FORMAT, { latencyMs: PLAYER_LATENCY_MS }),
      await speak(host, pcm, FORMAT),
    ];
    ears = [await Ear.open(host, SPEAKERS), await Ear.inGuest(host, guest)];
    login = await RealLogin.start(host.bus.address, host.dir);
  });

  after(async () => {
    await login.stop();
    await Promise.all([...ears, ...owned].map((one) => ('close' in one ? one.close() : one.stop())));
    await host.stop();
  });

  const soundsAndIsHeldUp = async (): Promise<void> => {
    await Promise.all(ears.map((ear) => ear.hears()));
    await waitFor(
      'logind to know of our lock',
      async () => (await login.inhibitors()).join() === OURS.join(),
    );
  };

  it('after the streams have paused; they go on when it has woken up, and each time again', async () => {
    for (let round = 0; round < 2; round += 1) {
      await soundsAndIsHeldUp();
      const waitedMs = await login.suspend(async () => {
        assert.deepEqual(await sinkInputsOf(host, guest), []);
        assert.deepEqual(await sourceOutputsOf(host, guest), []);
        assert.deepEqual(await login.inhibitors(), []);
      });
      assert.ok(waitedMs < LOGIND_LIMIT_MS, `logind waited for ${waitedMs} ms`);
    }
    await soundsAndIsHeldUp();
  });

  it('and logind is restarted: it is asked to wait again', async () => {
    await login.stop();
    login = await RealLogin.start(host.bus.address, host.dir);
    await soundsAndIsHeldUp();
  });
});
