// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { MIC_FEED, MICROPHONE } from '../../host/host.js';
import type { Counts } from '../../host/xen.js';
import { addMicrophone, captureIs, routeSourceTo, sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { backendModulesOf, LEFT_BEHIND_NODES, logFrom, TwoGuests } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 120_000;
const OTHER_FEED = 'other_feed';
/** What is done to a guest that records while another plays, who must not notice. */
describe('end to end: a guest that records, and what comes and goes', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let otherMicrophone: string;
  let sourceModule: number;
  let voice: OwnedProcess;
  let ear: Ear | undefined;
  /** What is held while the subject has no source, and while it has one that is idle. */
  let bare: Counts;
  let idle: Counts;

  before(async () => {
    stage = await TwoGuests.start();
    otherMicrophone = await addMicrophone(stage.host, OTHER_FEED);
    await stage.host.allowCapture(stage.subject);
    await stage.undisturbed(() => Promise.resolve());
    bare = await stage.idleCounts();
    sourceModule = await loadSource();
    voice = await startVoice();
    idle = await countsAfterRecording();
  });

  beforeEach(async () => {
    if (!voice.running) voice = await startVoice();
  });

  afterEach(async () => {
    await ear?.close();
    ear = undefined;
  });

  after(async () => {
    await voice.stop();
    await stage.stop();
  });

  /** Speaks into dom0's microphone from now on. */
  const startVoice = (): Promise<OwnedProcess> => speak(stage.host, stage.pcm, FORMAT);

  async function loadSource(): Promise<number> {
    const index = await stage.subject.loadSource();
    await stage.subject.connected();
    return index;
  }

  /** A recorder in the subject hears the microphone. */
  async function records(): Promise<Ear> {
    ear = await Ear.inGuest(stage.host, stage.subject);
    await ear.hears();
    return ear;
  }

  async function stopRecording(): Promise<void> {
    await ear?.close();
    ear = undefined;
  }

  /** What is held once nobody records and every stream is closed. */
  async function countsAfterRecording(): Promise<Counts> {
    await records();
    await stopRecording();
    await waitFor(
      'the idle stream to be closed',
      async () => (await stage.host.captureNode(stage.subject, 'state')) === 'connected',
    );
    return stage.idleCounts();
  }

  /** The subject hears the microphone again, and once it is idle just as much is held as before. */
  async function isAsBefore(): Promise<void> {
    if (!voice.running) voice = await startVoice();
    await records();
    await stopRecording();
    await stage.holds(idle);
    assert.equal((await backendModulesOf(stage.host, stage.subject)).length, 1);
  }

  it('unloads module-xen-source while it records, and loads it again', async () => {
    await stage.undisturbed(async () => {
      await records();
      await stage.subject.unloadSource(sourceModule);
      await stopRecording();
      await waitFor('dom0 to record no more', async () => (await sourceOutputsOf(stage.host)).length === 0);
    });
    await stage.holds(bare);

    sourceModule = await loadSource();
    await isAsBefore();
  });

  it('suspends and resumes the source of the guest while it records', async () => {
    await stage.undisturbed(async () => {
      const { host, subject } = stage;
      const listening = await records();
      await subject.client.pactl('suspend-source', subject.source ?? '', '1');
      await captureIs(host, subject, { requested: '0', active: '0' });
      assert.deepEqual(await sourceOutputsOf(host), [], 'dom0 shows no use of the microphone');
      await subject.client.pactl('suspend-source', subject.source ?? '', '0');
      await listening.hears();
    });
    await isAsBefore();
  });

  it("moves the guest's stream between sources of dom0", async () => {
    const { host, subject } = stage;
    await stage.undisturbed(async () => {
      const listening = await records();
      await routeSourceTo(host, subject, otherMicrophone);
      await listening.hearsNothing();
      await routeSourceTo(host, subject, MICROPHONE);
      await listening.hears();
    });
    await isAsBefore();
  });

  it('lets time go on while the source is suspended in dom0', async () => {
    await stage.undisturbed(async () => {
      const listening = await records();
      await stage.host.client.pactl('suspend-sink', MIC_FEED, '1'); // with its monitor
      await listening.hearsNothing(1);
      await stage.host.client.pactl('suspend-sink', MIC_FEED, '0');
      await listening.hears();
    });
    await isAsBefore();
  });

  it('lets time go on when the source is unplugged, and hears it when it is there again', async () => {
    const { host } = stage;
    await stage.undisturbed(async () => {
      const listening = await records();
      const { owner_module: owner } = await host.client.sink(MIC_FEED);
      await host.client.unloadModule(Number(owner));
      await listening.hearsNothing(1);
      await voice.stop();
      await host.client.loadModule('module-null-sink', `sink_name=${MIC_FEED}`);
      voice = await startVoice();
      await listening.hears();
      assert.equal(listening.running, true);
    });
    await isAsBefore();
  });

  for (const [how, end] of [
    ['is stopped', (): Promise<void> => stage.host.stopController()],
    ['is killed', (): Promise<void> => stage.host.killController()],
  ] as const) {
    it(`records on while the controller ${how}, which adopts the streams when it returns`, async () => {
      const { host, subject } = stage;
      await stage.undisturbed(async () => {
        const listening = await records();
        const modules = await backendModulesOf(host, subject);
        const log = logFrom(host.controller.logFile);
        await end();
        await listening.hears(2);
        await host.startController();
        await waitFor('the stream to be adopted', () =>
          log().includes('subject/0: adopted 1 running stream(s)'),
        );
        await listening.hears(1);
        assert.deepEqual(await backendModulesOf(host, subject), modules);
      });
      await isAsBefore();
    });
  }

  it('takes leave that was revoked while there was no controller as soon as there is one', async () => {
    const { host, subject } = stage;
    await stage.undisturbed(async () => {
      const listening = await records();
      await host.killController();
      host.forgetRecorder(subject);
      await host.startController();
      await captureIs(host, subject, { capture: '0', requested: '1', active: '0' });
      await listening.hearsNothing();
      await host.allowCapture(subject);
      await listening.hears();
    });
    await isAsBefore();
  });

  it("lets go of everything when the guest's PulseAudio is killed", async () => {
    const { host, subject } = stage;
    await stage.undisturbed(async () => {
      await records();
      await host.killGuestPulse(subject);
      await waitFor('the module that served it to go', async () => {
        const modules = await backendModulesOf(host, subject);
        return modules.length === 0;
      });
      assert.deepEqual(await sourceOutputsOf(host), []);
      await stopRecording();
    });
    await stage.holds({ ...bare, nodes: bare.nodes + LEFT_BEHIND_NODES });

    await host.startGuestPulse(subject);
    sourceModule = await loadSource();
    await isAsBefore();
  });
});

describe("end to end: dom0's sound server goes and returns while a guest records", function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;

  before(async () => {
    stage = await TwoGuests.start();
  });

  after(async () => {
    await stage.stop();
  });

  it('lets time go on in the guest, which hears the microphone again by itself', async () => {
    const { host, subject } = stage;
    await host.allowCapture(subject);
    await subject.loadSource();
    await subject.connected();
    const before = await speak(host, stage.pcm, FORMAT);
    const ear = await Ear.inGuest(host, subject);
    await ear.hears();

    await host.pulse.kill();
    await ear.hearsNothing(1);
    await host.pulse.start();
    const after = await speak(host, stage.pcm, FORMAT);
    await ear.hears(1);

    assert.equal(ear.running, true);
    await Promise.all([ear.close(), before.stop(), after.stop()]);
  });
});
