// SPDX-License-Identifier: LGPL-2.1-or-later
/** On real Xen only: device nodes of the guest's kernel, and a driver that wants the same card. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { PulseDaemon } from '../../host/pulse-daemon.js';
import { SshMachine } from '../../host/real/ssh-machine.js';
import { loadDriver, runIn, stopWithDriver } from '../../lib/e2e-alsa.js';
import { Ear, FORMAT, isHeard } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';
import { paths } from '../../lib/paths.js';

const TEST_MS = 180_000;
const SINK_MODULE = 'module-xen-sink';
const DEVICES = ['xenbus', 'evtchn', 'gntalloc'];

describe('module-xen-sink on a card that the kernel holds', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;

  before(async () => {
    host = await Host.start({ xen: 'real' });
    guest = await host.addGuest();
    await loadDriver(guest);
  });

  after(async () => {
    await stopWithDriver(host, guest);
  });

  it('refuses it, and names both ways out, each of which works', async () => {
    await assert.rejects(guest.client.loadModule(SINK_MODULE), /Module initialization failed/);
    const log = readFileSync(guest.pulse.logFile, 'utf8');
    assert.match(log, /Card vsnd-0: it is held by the kernel driver "vsnd"/);
    assert.match(log, /load-module module-alsa-sink/);
    const unbind = /echo (vsnd-0) > (\/sys\/bus\/xen\/drivers\/vsnd\/unbind)/.exec(log);
    assert.ok(unbind !== null, log);

    const alsa = await guest.client.loadModule('module-alsa-sink', 'device=hw:0,0 sink_name=alsa');
    await isHeard(host, SPEAKERS, guest, 'alsa');
    await guest.client.unloadModule(alsa);

    const [, device = '', file = ''] = unbind;
    await guest.domain.machine.write(file, device);
    await guest.loadSink();
    await guest.connected();
    await isHeard(host, SPEAKERS, guest);
  });
});

describe('an ordinary user of the guest', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let pulse: PulseDaemon;

  before(async () => {
    host = await Host.start({ xen: 'real' });
    guest = await host.addGuest({ pulse: false });
    await guest.domain.machine.provide(paths.coreBuildDir); // an ordinary user may not
    pulse = new PulseDaemon({
      name: 'PulseAudio of an ordinary user',
      machine: new SshMachine(`user@${guest.domain.key}`),
      dir: join('/tmp', 'user-pulse'),
      moduleDir: paths.coreBuildDir,
      env: () => guest.domain.env,
      modules: [],
    });
  });

  afterEach(async () => {
    await pulse.stop();
  });

  after(async () => {
    await runIn(guest, 'sh', '-c', 'chown root:root /dev/xen/* && chmod 600 /dev/xen/*');
    await host.stop();
  });

  it('is told what he may not open', async () => {
    await pulse.start();
    await assert.rejects(pulse.client.loadModule(SINK_MODULE), /Module initialization failed/);
    assert.match(
      readFileSync(pulse.logFile, 'utf8'),
      /Connecting to xenstore failed: Permission denied\. May this user open \/dev\/xen\/xenbus, gntalloc and evtchn/,
    );
  });

  it('plays, as a member of the group that our udev rule names', async () => {
    await installRule(guest);
    for (const device of DEVICES) {
      assert.equal((await runIn(guest, 'stat', '-c', '%G %a', `/dev/xen/${device}`)).trim(), 'xen-audio 660');
    }
    await pulse.start();
    await pulse.client.loadModule(SINK_MODULE, 'sink_name=xen');
    await guest.connected();
    const file = join('/tmp', 'noise');
    await pulse.client.machine.write(file, noise(FORMAT, 30));
    const player = pulse.client.play('xen', file, FORMAT);
    const ear = await Ear.open(host, SPEAKERS);
    try {
      await ear.hears(1);
    } finally {
      await ear.close();
      await player.stop();
    }
  });
});

/** What a package would do: the group with its member, the rule, and udev at work. */
async function installRule(guest: Guest): Promise<void> {
  const rule = readFileSync(join(paths.root, 'packaging/udev/60-xen-audio.rules'));
  await guest.domain.machine.makeFolder('/etc/udev/rules.d');
  await guest.domain.machine.write('/etc/udev/rules.d/60-xen-audio.rules', rule);
  await runIn(guest, 'sh', '-c', 'grep -q ^xen-audio: /etc/group || echo xen-audio:x:990:user >>/etc/group');
  await runIn(guest, 'sh', '-c', '/lib/systemd/systemd-udevd --daemon');
  await runIn(guest, 'udevadm', 'trigger', '--subsystem-match=misc');
  await runIn(guest, 'udevadm', 'settle', '--timeout=20');
  await runIn(guest, 'udevadm', 'control', '--exit');
}
