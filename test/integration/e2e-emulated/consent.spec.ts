// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: the lab's dom0 has no desktop. */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Guest } from '../../host/guest.js';
import { Host } from '../../host/host.js';
import { PrivateBus } from '../../host/private-bus.js';
import { captureIs, sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { Desktop } from '../../lib/e2e-dbus.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';
import { NotificationDaemon, Screen } from '../../lib/notification-daemon.js';
import { paths } from '../../lib/paths.js';
import { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const MAIN = join(paths.root, 'build/js/controller/consent/main.js');
/** Longer than all tests together. */
const NOISE_SECONDS = 90;
/** Well below the 30 s after which a question is closed without an answer. */
const ANSWERED_MS = 10_000;

describe('end to end: a guest asks for the microphone at the desktop', function () {
  this.timeout(60_000);
  let host: Host;
  let session: PrivateBus;
  let desktop: NotificationDaemon;
  let consent: OwnedProcess;
  const stops: (() => Promise<unknown>)[] = [];

  /** What is started is stopped, also when the next step fails. */
  async function owned<T>(starting: Promise<T>, stop: (started: T) => Promise<unknown>): Promise<T> {
    const started = await starting;
    stops.push(() => stop(started));
    return started;
  }

  before(async () => {
    const stop = (started: { stop(): Promise<unknown> }): Promise<unknown> => started.stop();
    host = await owned(Host.start({ xen: 'emulated', policy: { capture: 'ask' } }), stop);
    session = new PrivateBus(join(host.dir, 'session'));
    await owned(session.start(), () => session.stop());
    const screen = await owned(Screen.start(host.dir), stop);
    desktop = await owned(NotificationDaemon.start(host.dir, screen.display, session.address), stop);
    await owned(speak(host, noise(FORMAT, NOISE_SECONDS), FORMAT), stop);
    consent = OwnedProcess.start('consent', process.execPath, [MAIN, '--bus', host.bus.address], {
      env: { ...process.env, DBUS_SESSION_BUS_ADDRESS: session.address },
      logFile: join(host.dir, 'consent.log'),
    });
    stops.push(() => consent.stop());
  });

  after(async () => {
    for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) await stop();
  });

  /** Each test has its own, for who has asked is not asked about again so soon. */
  async function guestThatRecords(): Promise<{ guest: Guest; ear: Ear }> {
    const guest = await host.addGuest();
    await guest.loadSource();
    await guest.connected();
    return { guest, ear: await Ear.inGuest(host, guest) };
  }

  const displayed = (count: number): Promise<boolean> =>
    waitFor(`${count} notifications`, async () => (await desktop.displayed()) === count, {
      timeoutMs: ANSWERED_MS,
      detail: () => consent.logTail(),
    });

  const choose = (label: string, { domain }: Guest): Promise<string[]> =>
    desktop.choose(`#${label} (Microphone for ${domain.name}?)`);

  /** By when xen-audiod wants an answer; 0 when it waits for none. */
  const deadlineOf = (guest: Guest): Promise<number> =>
    new Desktop(host).get(guest, 'CaptureDeadline').then(Number);

  it('hears silence until the user allows it, then the microphone', async () => {
    const { guest, ear } = await guestThatRecords();
    try {
      await displayed(1);
      await ear.hearsNothing();

      await choose('Allow once', guest);

      await ear.hears();
      await displayed(0);
    } finally {
      await ear.close();
    }
  });

  it('goes on to hear silence when the user denies it', async () => {
    const { guest, ear } = await guestThatRecords();
    try {
      await displayed(1);
      assert.ok((await deadlineOf(guest)) > 0);

      await choose('Deny', guest);

      await displayed(0);
      const isAnswered = async (): Promise<boolean> => (await deadlineOf(guest)) === 0;
      await waitFor('the answer', isAnswered, { timeoutMs: ANSWERED_MS, detail: () => consent.logTail() });
      await captureIs(host, guest, { requested: '1', active: '0', capture: '0' });
      await ear.hearsNothing(1);
      assert.deepEqual(await sourceOutputsOf(host, guest), []);
    } finally {
      await ear.close();
    }
  });

  it('is not asked about any longer when it stops recording before an answer', async () => {
    const { guest, ear } = await guestThatRecords();
    try {
      await displayed(1);
    } finally {
      await ear.close();
    }

    await displayed(0);

    await captureIs(host, guest, { requested: '0', active: '0' });
  });
});
