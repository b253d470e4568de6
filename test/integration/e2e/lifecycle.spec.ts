// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { SPEAKERS } from '../../host/host.js';
import type { Counts } from '../../host/xen.js';
import {
  backendModulesOf,
  isPlaying,
  LEFT_BEHIND_NODES,
  logFrom,
  TwoGuests,
} from '../../lib/e2e-lifecycle.js';
import { Ear } from '../../lib/e2e-lifecycle-ear.js';
import { waitFor } from '../../lib/wait.js';

/** Time for a connection to be made anew, an idle stream to be closed, a dead process to be found. */
const TEST_MS = 120_000;
/** What removing a card may take; xl gives up after 10 s. */
const REMOVAL_MS = 2000;

describe('end to end: what comes and goes', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let ear: Ear;
  let sinkModule: number;
  /** What is held while the subject has no sink. */
  let bare: Counts;
  /** What is held while the subject's sink is connected and idle. */
  let idle: Counts;

  before(async () => {
    stage = await TwoGuests.start();
    await stage.undisturbed(() => Promise.resolve());
    bare = await stage.idleCounts();
    sinkModule = await stage.loadSink();
    idle = await stage.countsAfterPlaying();
  });

  beforeEach(async () => {
    ear = await Ear.open(stage.host, SPEAKERS);
  });

  afterEach(async () => {
    await ear.close();
    await stage.endPlayers();
  });

  after(async () => {
    await stage.stop();
  });

  /** The subject is heard, and once it is idle again just as much is held as before. */
  async function isAsBefore(): Promise<void> {
    stage.play();
    await ear.hears();
    await stage.endPlayers();
    await stage.holds(idle);
    assert.equal((await backendModulesOf(stage.host, stage.subject)).length, 1);
  }

  it('unloads module-xen-sink while it plays, and loads it again', async () => {
    await stage.undisturbed(async () => {
      stage.play();
      await ear.hears();
      await stage.subject.client.unloadModule(sinkModule);
      await ear.hearsNothing();
    });
    await stage.holds(bare);

    sinkModule = await stage.loadSink();
    await isAsBefore();
  });

  it('suspends and resumes the sink of the guest while it plays', async () => {
    await stage.undisturbed(async () => {
      stage.play();
      await ear.hears();
      await stage.subject.client.pactl('suspend-sink', 'xen', '1');
      await ear.hearsNothing();
      await stage.subject.client.pactl('suspend-sink', 'xen', '0');
      await ear.hears();
    });
    await isAsBefore();
  });

  for (const [when, playing] of [
    ['while it plays', true],
    ['while it is idle', false],
  ] as const) {
    it(`lets go of everything when the guest's PulseAudio is killed ${when}`, async () => {
      await stage.undisturbed(async () => {
        if (playing) {
          stage.play();
          await ear.hears();
        }
        await stage.host.killGuestPulse(stage.subject);
        await waitFor('the module that served it to go', async () => {
          const modules = await backendModulesOf(stage.host, stage.subject);
          return modules.length === 0;
        });
      });
      await stage.holds({ ...bare, nodes: bare.nodes + LEFT_BEHIND_NODES });

      await stage.host.startGuestPulse(stage.subject);
      sinkModule = await stage.loadSink();
      await isAsBefore();
    });
  }

  it('brings the device back when module-xen-backend is unloaded by hand', async () => {
    await stage.undisturbed(async () => {
      stage.play();
      await ear.hears();
      const [index] = await backendModulesOf(stage.host, stage.subject);
      await stage.host.client.unloadModule(index ?? -1);
      await waitFor('another module to serve the guest', async () => {
        const [now] = await backendModulesOf(stage.host, stage.subject);
        return now !== undefined && now !== index;
      });
      await ear.hears();
    });
    await isAsBefore();
  });

  for (const [how, end] of [
    ['is stopped', (): Promise<void> => stage.host.stopController()],
    ['is killed', (): Promise<void> => stage.host.killController()],
  ] as const) {
    it(`plays on while the controller ${how}, which adopts the streams when it returns`, async () => {
      await stage.undisturbed(async () => {
        stage.play();
        await ear.hears();
        const modules = await backendModulesOf(stage.host, stage.subject);
        const { length } = readFileSync(stage.host.controller.logFile, 'utf8');
        await end();
        await ear.hears(2);
        await stage.host.startController();
        await waitFor('both guests to be adopted', () => {
          const log = readFileSync(stage.host.controller.logFile, 'utf8').slice(length);
          return ['subject', 'bystander'].every((name) =>
            log.includes(`${name}/0: adopted 1 running stream(s)`),
          );
        });
        await ear.hears(1);
        assert.deepEqual(await backendModulesOf(stage.host, stage.subject), modules);
      });
      await isAsBefore();
    });
  }

  it('removes a playing card and its domain in less than 2 s, and holds nothing of it', async () => {
    const { host, subject } = stage;
    await stage.undisturbed(async () => {
      stage.play();
      await ear.hears();
      const begin = performance.now();
      await host.removeCard(subject);
      const tookMs = performance.now() - begin;
      assert.ok(tookMs < REMOVAL_MS, `the card was removed in ${tookMs} ms`);
      await waitFor('the guest to let go of its rings', async () => {
        const held = (await host.counts()).domains[subject.domain.key];
        return held?.grants === 0 && held.ports === 0;
      });
      await host.destroyDomain(subject);
    });

    const expected = withoutGuest(bare, subject.domain.key);
    let found: Counts['domains'] = {};
    const isGone = async (): Promise<boolean> => {
      found = (await host.counts()).domains;
      return JSON.stringify(found) === JSON.stringify(expected);
    };
    await waitFor('dom0 to hold nothing of it', isGone, {
      detail: () => JSON.stringify({ expected, found }),
    });
    assert.deepEqual(await backendModulesOf(host, subject), []);
    for (const path of [`backend/vsnd/${subject.domain.domid}`, `data/xen-audio/${subject.domain.domid}`]) {
      const children = await host.xen.store.directory(`/local/domain/0/${path}`);
      assert.deepEqual(children ?? [], [], path);
    }
  });
});

describe("end to end: dom0's sound server goes and returns", function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let sinkModule: number;

  before(async () => {
    stage = await TwoGuests.start();
    sinkModule = await stage.loadSink();
  });

  after(async () => {
    await stage.stop();
  });

  it('plays on in the guest, and is heard again by itself', async () => {
    const idle = await stage.countsAfterPlaying();
    const player = stage.play();
    await isPlaying(stage.host, stage.subject);

    await stage.host.pulse.kill();
    await stage.host.pulse.start();
    const ear = await Ear.open(stage.host, SPEAKERS);
    await ear.hears(1);

    assert.equal(player.running, true);
    await stage.endPlayers();
    await ear.close();
    await stage.holds(idle);
  });

  it('takes no harm when the sink is unloaded after the guest gave its stream up', async () => {
    const { client, pulse } = stage.subject;
    const log = logFrom(pulse.logFile);
    stage.play();
    await isPlaying(stage.host, stage.subject);

    process.kill(stage.host.pulse.pid ?? 0, 'SIGSTOP');
    await waitFor('the guest to give up', () => log().includes('Trying again'), { detail: log });
    await client.unloadModule(sinkModule);
    await stage.host.pulse.kill();
    await stage.host.pulse.start();

    assert.equal(pulse.running, true, log());
    sinkModule = await stage.loadSink();
    await stage.playsAgain();
  });

  it('is heard again when it hung until the guest gave its stream up, and was then restarted', async () => {
    const idle = await stage.countsAfterPlaying();
    const log = logFrom(stage.subject.pulse.logFile);
    const player = stage.play();
    await isPlaying(stage.host, stage.subject);

    process.kill(stage.host.pulse.pid ?? 0, 'SIGSTOP');
    await waitFor('the guest to give up', () => log().includes('Trying again'), { detail: log });
    await stage.host.pulse.kill();
    await stage.host.pulse.start();
    const ear = await Ear.open(stage.host, SPEAKERS);
    await ear.hears(3);

    assert.equal(player.running, true);
    await stage.endPlayers();
    await ear.close();
    await stage.holds(idle);
  });
});

/** What is held when a domain without a sink goes as well: dom0 no longer watches the state of its card, where a Xen tells. */
function withoutGuest(counts: Counts, key: string): Counts['domains'] {
  const { dom0, ...guests } = counts.domains;
  assert.ok(dom0 !== undefined);
  const others = Object.entries(guests).filter(([name]) => name !== key);
  return { dom0: { ...dom0, watches: Math.max(0, dom0.watches - 1) }, ...Object.fromEntries(others) };
}
