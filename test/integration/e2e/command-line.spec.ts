// SPDX-License-Identifier: LGPL-2.1-or-later
/** What an administrator of dom0 does, by xen-audioctl alone. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { z } from 'zod';

import type { Guest } from '../../host/guest.js';
import { Host } from '../../host/host.js';
import { captureIs } from '../../lib/e2e-capture.js';
import { awaitInMixer, sliderOf } from '../../lib/e2e-control.js';
import { Desktop } from '../../lib/e2e-dbus.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { IN_LAB } from '../../lib/scale.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 120_000;
const NOISE_SECONDS = 60;

const Report = z.object({
  checks: z.array(z.looseObject({ id: z.string(), status: z.string(), finding: z.string() })),
});

describe('end to end: xen-audioctl', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let desktop: Desktop;
  let player: OwnedProcess | undefined;

  before(async () => {
    host = await Host.start({ policy: { capture: 'ask' } });
    desktop = new Desktop(host);
    guest = await host.addGuest();
    await host.removeCard(guest);
  });

  after(async () => {
    await player?.stop();
    await host.stop();
  });

  it('attaches cards to a guest by its name, and lists it', async () => {
    await desktop.ctl('attach', guest.domain.name, '--kernel'); // one card with both, which our modules take as well
    await guest.loadSink();
    await guest.loadSource();
    await guest.connected();
    assert.match(
      await desktop.ctl('list'),
      new RegExp(`^${guest.domain.name} +${guest.domain.domid} +connected`, 'm'),
    );
  });

  it('sets volume and mute of what plays', async () => {
    const file = join(guest.dir, 'noise.pcm');
    await guest.domain.machine.makeFolder(guest.dir);
    await guest.domain.machine.write(file, noise(FORMAT, NOISE_SECONDS));
    player = guest.client.play(guest.sink ?? '', file, FORMAT, { latencyMs: 200 });
    await awaitInMixer(host, guest);
    await desktop.ctl('volume', guest.domain.name, '50');
    await waitFor('the slider', async () => sliderOf(await awaitInMixer(host, guest))[0] === 32_768);
    await desktop.ctl('mute', guest.domain.name);
    await waitFor('the mixer to be mute', async () => (await awaitInMixer(host, guest)).mute);
    assert.match(await desktop.ctl('show', guest.domain.name), /^Volume +50 %.*muted/m);
  });

  it('lets it record, and no longer', async () => {
    const ear = await Ear.inGuest(host, guest);
    await desktop.ctl('allow-mic', guest.domain.name, '--for', '10m');
    await captureIs(host, guest, { active: '1' });
    await desktop.ctl('deny-mic', guest.domain.name);
    await captureIs(host, guest, { active: '0' });
    await ear.close();
  });

  it('takes its cards away', async () => {
    await player?.stop();
    await desktop.ctl('detach', guest.domain.name);
    const named = async (): Promise<boolean> => (await desktop.ctl('list')).includes(guest.domain.name);
    await waitFor('the guest to have gone', async () => !(await named()));
  });

  // Only there: an emulated Xen is none to the doctor, and says so. The sound server of a test is not the system's.
  if (IN_LAB) {
    it('finds Xen, its devices and the daemon in order', async () => {
      const { checks } = Report.parse(JSON.parse((await desktop.tryCtl('doctor', '--json')).stdout));
      console.log(checks.map(({ id, status, finding }) => `      ${id}: ${status}: ${finding}`).join('\n'));
      const inOrder = checks.filter(({ status }) => status === 'ok').map(({ id }) => id);
      for (const id of ['xen', 'libraries', 'xenstore', 'devices', 'daemon']) {
        assert.ok(inOrder.includes(id), id);
      }
    });
  }
});
