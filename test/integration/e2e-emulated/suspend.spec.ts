// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Counts } from '../../host/xen.js';
import { captureIs, speak } from '../../lib/e2e-capture.js';
import { Desktop, NORM } from '../../lib/e2e-dbus.js';
import { backendModulesOf, logFrom, TwoGuests } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { EmulatedXen } from '../../host/emulated/emulated-xen.js';
import { SPEAKERS } from '../../host/host.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';
import { XlStandIn } from '../../lib/xl-stand-in.js';

const TEST_MS = 120_000;
const HALF = NORM / 2;
const ALLOWED_SECONDS = 3600;
/** What the programs asked for is 1 s; more than a busy machine adds. */
const LATENCY_MAX_USEC = 5_000_000;
const RESUMED = /has been resumed while it was connected/g;

/** A guest plays and records while it is suspended; another plays, and must not notice. */
describe('end to end: a guest that is suspended', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let desktop: Desktop;
  let voice: OwnedProcess;
  /** Listens all the time, so that dom0's loudspeakers keep to short blocks, as a sound card does. */
  let out: Ear;
  let modules: string;
  /** What is held while nothing plays or records. */
  let idle: Counts;
  let allowedUntil: unknown;

  before(async () => {
    stage = await TwoGuests.start();
    const { host, subject } = stage;
    desktop = new Desktop(host);
    await stage.undisturbed(() => Promise.resolve()); // so that all nodes of the other guest are there
    await stage.loadSink();
    await subject.loadSource();
    await subject.connected();
    modules = await subject.client.pactl('list', 'short', 'modules');
    await desktop.setVolume(subject, HALF);
    await desktop.call(subject, 'AllowCaptureFor', 'u', String(ALLOWED_SECONDS));
    allowedUntil = await desktop.get(subject, 'CaptureAllowedUntil');
    voice = await speak(host, stage.pcm, FORMAT);
    out = await Ear.open(host, SPEAKERS);
    await goesThrough(() => Promise.resolve());
    idle = await idleCounts();
  });

  beforeEach(async () => {
    if (!voice.running) voice = await speak(stage.host, stage.pcm, FORMAT);
  });

  after(async () => {
    stage.subject.pulse.thaw();
    await voice.stop();
    await out.close();
    await stage.stop();
  });

  async function idleCounts(): Promise<Counts> {
    await captureIs(stage.host, stage.subject, { state: 'connected' });
    return stage.idleCounts();
  }

  /** Programs that play and record in the subject go on through what is done, and are heard and hear again afterwards. */
  async function goesThrough(act: () => Promise<void>): Promise<void> {
    const { host, subject } = stage;
    const player = stage.play();
    const input = await Ear.inGuest(host, subject);
    try {
      await out.hears();
      await input.hears();
      await act();
      await out.hears();
      await input.hears();
      assert.equal(player.running && input.running, true, 'the programs of the guest still run');
      await isSane();
    } finally {
      await stage.endPlayers();
      await input.close();
    }
  }

  /** Nothing was loaded anew in the guest, its clocks run as before, and dom0 has one module a stream. */
  async function isSane(): Promise<void> {
    const { host, subject } = stage;
    assert.equal(await subject.client.pactl('list', 'short', 'modules'), modules);
    const [input] = await subject.client.list('sink-inputs');
    const [output] = await subject.client.list('source-outputs');
    for (const usec of [input?.sink_latency_usec, output?.source_latency_usec]) {
      assert.ok(usec !== undefined && usec < LATENCY_MAX_USEC, `a latency of ${String(usec)} us`);
    }
    assert.equal((await backendModulesOf(host, subject)).length, 2);
  }

  /** Volume and leave to record are those of before. */
  async function isAsBefore(): Promise<void> {
    const { subject } = stage;
    assert.equal(await desktop.volume(subject), HALF);
    assert.equal(await desktop.get(subject, 'CaptureAllowedUntil'), allowedUntil);
    assert.equal(await desktop.get(subject, 'State'), 'connected');
  }

  /** It stands still, and goes on as another domain. */
  async function moves(domid?: number): Promise<void> {
    await stage.host.save(stage.subject);
    await stage.host.restore(stage.subject, domid);
  }

  async function prepare(): Promise<void> {
    await desktop.manager('PrepareSuspend', 's', stage.subject.domain.name);
    await isPrepared();
  }

  /** The subject holds nothing, and nothing of it is mapped. */
  async function isPrepared(): Promise<void> {
    const { host, subject } = stage;
    const { [subject.domain.key]: own } = (await host.counts()).domains;
    assert.deepEqual([own?.ports, own?.grants], [0, 0]);
    assert.deepEqual(await backendModulesOf(host, subject), []);
    assert.equal(await desktop.get(subject, 'State'), 'suspended');
  }

  /** Planned, it goes on as another domain. */
  async function planned(): Promise<void> {
    await prepare();
    await moves();
  }

  it('as planned, goes on as another domain, with volume and leave to record', async () => {
    const log = logFrom(stage.subject.pulse.logFile);
    await goesThrough(planned);
    await isAsBefore();
    assert.doesNotMatch(log(), RESUMED);
  });

  it('as xen-audioctl saves and restores it around xl, goes on as another domain', async () => {
    const { host, subject } = stage;
    const { domid, name } = subject.domain;
    await goesThrough(async () => {
      const [save, restore] = ['save', 'restore'].map((dir) => new XlStandIn(join(host.dir, dir)));
      assert.ok(save !== undefined && restore !== undefined);
      const saving = new Desktop(host, save.path).tryCtl('save', name, 'image', '--', '-F');
      assert.equal(await save.called(), `save -F ${domid} image`);
      await isPrepared();
      await host.save(subject);
      save.end(0);
      assert.equal((await saving).code, 0);

      const restoring = new Desktop(host, restore.path).tryCtl('restore', 'image');
      assert.equal(await restore.called(), 'restore image');
      await host.restore(subject);
      restore.end(0);
      assert.equal((await restoring).code, 0);
      assert.equal(await desktop.get(subject, 'State'), 'connected');
    });
    await isAsBefore();
  });

  it('as planned, goes on as before when that is called off', async () => {
    const { host, subject } = stage;
    await goesThrough(async () => {
      await prepare();
      await host.pause(subject, () => Promise.resolve());
      await desktop.manager('FinishSuspend', 's', subject.domain.name);
    });
    await isAsBefore();
  });

  for (const [which, domidOf] of [
    ['another domid', (): undefined => undefined],
    ['the same domid', (): number => stage.subject.domain.domid],
  ] as const) {
    it(`unplanned, goes on under ${which}, and closes nothing that Linux would not survive`, async () => {
      const { subject } = stage;
      const log = logFrom(subject.pulse.logFile);
      await goesThrough(() => moves(domidOf()));
      await isAsBefore();
      assert.equal(log().match(RESUMED)?.length, 1, log());
    });
  }

  it('unplanned, goes on with all it had when that is called off', async () => {
    const { host, subject } = stage;
    const { xen } = host;
    assert.ok(xen instanceof EmulatedXen);
    const { key } = subject.domain;
    await goesThrough(async () => {
      const ports = await xen.control.ports(key);
      await host.pause(subject, () => out.hearsNothing(1));
      assert.deepEqual(await xen.control.ports(key), ports);
    });
    await isAsBefore();
  });

  it('is not noticed by another guest, and leaves nothing behind', async () => {
    const { host, subject } = stage;
    await stage.undisturbed(async () => {
      await goesThrough(planned);
      await goesThrough(() => moves());
    });
    await captureIs(host, subject, { state: 'connected' });
    await stage.holds(idle);
  });

  it('keeps leave that is given for one recording, which a planned suspend interrupts', async () => {
    const { host, subject } = stage;
    await desktop.call(subject, 'AllowCaptureOnce');
    await desktop.set(subject, 'Mute', 'b', 'true');
    const input = await Ear.inGuest(host, subject);
    await input.hears();
    await prepare();
    await moves();
    await input.hears();
    assert.equal(await desktop.get(subject, 'Mute'), true);
    await input.close();
    await waitFor(
      'leave to end with the recording',
      async () => (await desktop.get(subject, 'CaptureAllowed')) === false,
    );
  });
});
