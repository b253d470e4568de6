// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrivateBus } from '../../host/private-bus.js';
import { FakeAudioService } from '../../lib/fake-audio-service.js';
import { NotificationDaemon, Screen } from '../../lib/notification-daemon.js';
import { OwnedProcess, runCommand } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const MAIN = fileURLToPath(new URL('../../../controller/consent/main.js', import.meta.url));
const TEST_MS = 60_000;
const WAIT_MS = 20_000;

const inSeconds = (seconds: number): bigint => BigInt(Math.round(Date.now() + seconds * 1000)) * 1000n;

describe('xen-audio-consent', function () {
  this.timeout(TEST_MS);

  let directory: string;
  let audio: PrivateBus;
  let session: PrivateBus;
  let screen: Screen;
  let desktop: NotificationDaemon;
  let daemon: FakeAudioService;
  let consent: OwnedProcess;
  let work: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    audio = new PrivateBus(join(directory, 'audio'));
    session = new PrivateBus(join(directory, 'session'));
    await audio.start();
    await session.start();
    screen = await Screen.start(directory);
  });

  after(async () => {
    await screen.stop();
    await session.stop();
    await audio.stop();
    await rm(directory, { recursive: true });
  });

  beforeEach(async () => {
    daemon = await FakeAudioService.start(audio.address);
    work = daemon.addGuest('u1', { Name: 'work' });
    desktop = await startDesktop();
    consent = startConsent();
    // It is there when it has asked for the guests, after which it hears of each request.
    await waitFor('xen-audio-consent', () => daemon.pictures > 0, {
      timeoutMs: WAIT_MS,
      detail: () => consent.logTail(),
    });
  });

  afterEach(async () => {
    await consent.stop();
    await desktop.stop();
    daemon.stop();
  });

  const startConsent = (): OwnedProcess =>
    OwnedProcess.start('consent', process.execPath, [MAIN, '--bus', audio.address], {
      env: { ...process.env, DBUS_SESSION_BUS_ADDRESS: session.address },
      logFile: join(directory, 'consent.log'),
    });

  const startDesktop = (): Promise<NotificationDaemon> =>
    NotificationDaemon.start(directory, screen.display, session.address);

  const displayed = (count: number): Promise<boolean> =>
    waitFor(`${count} notifications`, async () => (await desktop.displayed()) === count, {
      timeoutMs: WAIT_MS,
      detail: () => consent.logTail(),
    });

  const called = (call: string): Promise<boolean> =>
    waitFor(call, () => daemon.calls.includes(call), {
      timeoutMs: WAIT_MS,
      detail: () => daemon.calls.join('\n'),
    });

  for (const [label, call] of [
    ['Allow once', 'work AllowCaptureOnce'],
    ['Allow always', 'work AllowCaptureAlways'],
    ['Deny', 'work DenyCapture'],
  ] as const) {
    it(`answers '${label}' with ${call.replace('work ', '')}`, async () => {
      daemon.requestCapture(work, inSeconds(30));
      await displayed(1);

      const menu = await desktop.choose(`#${label} (Microphone for work?)`);

      await called(call);
      assert.equal(menu.length, 3, menu.join('\n'));
      await displayed(0);
      assert.equal(daemon.calls.length, 1, daemon.calls.join('\n'));
    });
  }

  it('asks for several guests at once, and answers for the right one', async () => {
    const play = daemon.addGuest('u2', { Name: 'play' });
    daemon.requestCapture(work, inSeconds(30));
    daemon.requestCapture(play, inSeconds(30));
    await displayed(2);

    await desktop.choose('#Deny (Microphone for play?)');
    await called('play DenyCapture');
    await displayed(1);
    await desktop.choose('#Allow once (Microphone for work?)');
    await called('work AllowCaptureOnce');

    assert.equal(daemon.calls.length, 2, daemon.calls.join('\n'));
  });

  it('asks once for a guest that asks again and again', async () => {
    for (let count = 0; count < 5; count++) daemon.requestCapture(work, inSeconds(30));
    const play = daemon.addGuest('u2', { Name: 'play' });
    daemon.requestCapture(play, inSeconds(30));

    await displayed(2);
    assert.equal((await desktop.menu()).length, 6);
  });

  it('closes the question at the deadline, without an answer', async () => {
    daemon.requestCapture(work, inSeconds(5));
    await displayed(1);

    await displayed(0);

    assert.deepEqual(daemon.calls, []);
  });

  for (const [how, values] of [
    ['allowed', { CaptureAllowed: true }],
    ['decided for good', { CapturePolicy: 'deny' }],
    ['answered with no, or no longer asked,', { CaptureDeadline: 0n }],
  ] as const) {
    it(`closes the question when it is ${how} elsewhere`, async () => {
      daemon.requestCapture(work, inSeconds(30));
      await displayed(1);

      daemon.change(work, values);

      await displayed(0);
      assert.deepEqual(daemon.calls, []);
    });
  }

  it('closes the question when the guest has gone, or the daemon', async () => {
    daemon.requestCapture(work, inSeconds(30));
    await displayed(1);
    daemon.remove(work);
    await displayed(0);

    const play = daemon.addGuest('u2', { Name: 'play' });
    daemon.requestCapture(play, inSeconds(30));
    await displayed(1);
    daemon.stop();
    await displayed(0);
  });

  it('takes a question that was dismissed for no answer', async () => {
    daemon.requestCapture(work, inSeconds(30));
    await displayed(1);

    await desktop.dismiss();
    await displayed(0);
    daemon.requestCapture(work, inSeconds(30));
    await displayed(1);

    assert.deepEqual(daemon.calls, []);
  });

  it('asks again when the notification daemon was started anew', async () => {
    daemon.requestCapture(work, inSeconds(30));
    await displayed(1);

    await desktop.stop();
    desktop = await startDesktop();

    await displayed(1);
    await desktop.choose('#Allow once (Microphone for work?)');
    await called('work AllowCaptureOnce');
  });

  it('asks when the notification daemon comes later than the guest', async () => {
    await desktop.stop();
    daemon.requestCapture(work, inSeconds(30));
    await waitFor('the complaint', () =>
      consent.logTail().includes('cannot ask about work: no notification'),
    );

    desktop = await startDesktop();

    await displayed(1);
  });

  it('says on the desktop when the answer did not get through', async () => {
    daemon.failures.set('AllowCaptureAlways', ['PolicyDenied', 'policy denies it']);
    daemon.requestCapture(work, inSeconds(30));
    await displayed(1);

    await desktop.choose('#Allow always');

    await waitFor('the complaint', () => consent.logTail().includes('policy denies it'), {
      timeoutMs: WAIT_MS,
    });
    await displayed(1);
  });

  it('asks what was asked before it was there', async () => {
    await consent.stop();
    daemon.requestCapture(work, inSeconds(30));
    consent = startConsent();

    await displayed(1);
    await desktop.choose('#Deny (Microphone for work?)');
    await called('work DenyCapture');
  });

  it('goes on with a daemon that was started anew', async () => {
    daemon.stop();
    daemon = await FakeAudioService.start(audio.address);
    work = daemon.addGuest('u1', { Name: 'work' });
    await waitFor('xen-audio-consent', () => daemon.pictures > 0, { timeoutMs: WAIT_MS });

    daemon.requestCapture(work, inSeconds(30));

    await displayed(1);
  });

  it('leaves nothing on the screen when it is told to stop', async () => {
    daemon.requestCapture(work, inSeconds(30));
    await displayed(1);

    assert.deepEqual(await consent.stop(), { code: 0, signal: null });

    await displayed(0);
  });

  it('explains itself, and what it cannot reach', async () => {
    const run = (args: readonly string[]): ReturnType<typeof runCommand> =>
      runCommand(process.execPath, [MAIN, ...args], {
        env: { ...process.env, DBUS_SESSION_BUS_ADDRESS: '' },
      });

    assert.match((await run(['--help'])).stdout, /^Usage: xen-audio-consent/);
    assert.match((await run(['--version'])).stdout, /^xen-audio-consent \d+\.\d+\.\d+\n$/);
    assert.equal((await run(['--colour'])).code, 2);
    const nowhere = await run(['--bus', `unix:path=${directory}/nothing`]);
    assert.equal(nowhere.code, 3);
    assert.match(nowhere.stderr, /cannot reach the bus/);
  });
});
