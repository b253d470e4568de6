// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { interface as service, sessionBus } from 'dbus-next';
import { PrivateBus } from '../../host/private-bus.js';
import { FakeAudioService } from '../../lib/fake-audio-service.js';
import { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const MAIN = fileURLToPath(new URL('../../../controller/consent/main.js', import.meta.url));
const SERVICE = 'org.freedesktop.Notifications';
const TEST_MS = 60_000;
const WAIT_MS = 20_000;

/** A notification daemon that can do less than dunst. */
class PlainDaemon extends service.Interface {
  /** Body and actions of what is to be shown. */
  readonly shown: { body: string; actions: string[] }[] = [];

  constructor(private readonly capabilities: string[]) {
    super(SERVICE);
  }

  GetCapabilities(): string[] {
    return this.capabilities;
  }

  Notify(...[, , , , body, actions]: [string, number, string, string, string, string[]]): number {
    this.shown.push({ body, actions });
    return this.shown.length;
  }
}
PlainDaemon.configureMembers({
  methods: {
    GetCapabilities: { outSignature: 'as' },
    Notify: { inSignature: 'susssasa{sv}i', outSignature: 'u' },
  },
});

describe('xen-audio-consent with a plain notification daemon', function () {
  this.timeout(TEST_MS);

  let directory: string;
  let bus: PrivateBus;
  let daemon: FakeAudioService;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    bus = new PrivateBus(directory);
    await bus.start();
    daemon = await FakeAudioService.start(bus.address);
  });

  afterEach(async () => {
    daemon.stop();
    await bus.stop();
    await rm(directory, { recursive: true });
  });

  /** What a daemon with these capabilities is told to show when a guest asks. */
  const shownWith = async (capabilities: string[]): Promise<{ body: string; actions: string[] }> => {
    const desktop = sessionBus({ busAddress: bus.address });
    const plain = new PlainDaemon(capabilities);
    desktop.export('/org/freedesktop/Notifications', plain);
    await desktop.requestName(SERVICE);
    const guest = daemon.addGuest('u1', { Name: '<b>work</b> & play', Domid: 7 });
    const consent = OwnedProcess.start('consent', process.execPath, [MAIN, '--bus', bus.address], {
      env: { ...process.env, DBUS_SESSION_BUS_ADDRESS: bus.address },
    });
    try {
      await waitFor('xen-audio-consent', () => daemon.pictures > 0, { timeoutMs: WAIT_MS });
      daemon.requestCapture(guest, BigInt(Date.now() + 30_000) * 1000n);
      return await waitFor('the notification', () => plain.shown[0], { timeoutMs: WAIT_MS });
    } finally {
      await consent.kill();
      desktop.disconnect();
    }
  };

  it('offers no actions where there are none, and says how to answer', async () => {
    const { body, actions } = await shownWith(['body']);

    assert.deepEqual(actions, []);
    assert.equal(
      body,
      'The Xen guest <b>work</b> & play wants to record.\n' +
        'To answer: xen-audioctl allow-mic 7, or xen-audioctl deny-mic 7',
    );
  });

  it('lets no name of a guest be taken for markup, and makes no click on the body an answer', async () => {
    const { body, actions } = await shownWith(['body', 'body-markup', 'actions']);

    assert.equal(body, 'The Xen guest &lt;b&gt;work&lt;/b&gt; &amp; play wants to record.');
    assert.deepEqual(actions, ['once', 'Allow once', 'always', 'Allow always', 'deny', 'Deny']);
  });
});
