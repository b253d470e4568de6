// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only, for its wire to xenstore: what can go wrong, a row each of docs/reliability.md. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { awaitInMixer, inMixer } from '../../lib/e2e-control.js';
import { FaultStage } from '../../lib/faults-stage.js';
import { paths } from '../../lib/paths.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 60_000;
const TABLE = join(paths.root, 'docs/reliability.md');

interface Fault {
  /** As in the table. */
  readonly name: string;
  /** Others cannot but notice. */
  readonly concernsAll?: boolean;
  readonly inject: (stage: FaultStage) => Promise<void>;
  /** What somebody does about it: all else happens by itself. */
  readonly recover: (stage: FaultStage) => Promise<void>;
}

/** From the end of `recover` until both streams of the guest are in dom0's mixer again. */
const RECOVERY_MS = 5_000;
const PAUSE_MS = 10_000;
const SLEEP_MS = 2_000;
const HEADSET = 'headset';

const FAULTS: readonly Fault[] = [
  {
    name: 'guest killed',
    inject: (stage) => stage.destroySubject(),
    recover: (stage) => stage.restartSubject(),
  },
  {
    name: 'guest paused 10 s',
    inject: ({ host, subject }) => host.pause(subject, () => sleep(PAUSE_MS)),
    recover: () => Promise.resolve(),
  },
  {
    name: 'guest rebooted',
    inject: async (stage) => {
      await stage.subject.pulse.stop();
      await stage.destroySubject();
    },
    recover: (stage) => stage.restartSubject(),
  },
  {
    name: 'planned suspend and resume',
    inject: async ({ host, subject, desktop }) => {
      await desktop.manager('PrepareSuspend', 's', subject.domain.name);
      await host.save(subject);
    },
    recover: ({ host, subject }) => host.restore(subject),
  },
  {
    name: 'unplanned suspend and resume',
    inject: ({ host, subject }) => host.save(subject),
    recover: ({ host, subject }) => host.restore(subject),
  },
  {
    name: 'cancelled suspend',
    inject: async ({ host, subject, desktop }) => {
      await desktop.manager('PrepareSuspend', 's', subject.domain.name);
      await host.pause(subject, () => sleep(SLEEP_MS));
    },
    recover: async ({ subject, desktop }) => {
      await desktop.manager('FinishSuspend', 's', subject.domain.name);
    },
  },
  {
    name: 'migration to another host and back',
    inject: (stage) => stage.migrateAway(),
    recover: (stage) => stage.migrateBack(),
  },
  {
    name: 'dom0 sleeps',
    concernsAll: true,
    inject: async (stage) => {
      await stage.fallAsleep();
      await sleep(SLEEP_MS);
    },
    recover: (stage) => stage.wakeUp(),
  },
  {
    name: 'PulseAudio of dom0 killed',
    concernsAll: true,
    inject: async ({ host }) => {
      await host.pulse.kill();
    },
    recover: async (stage) => {
      await stage.host.pulse.start();
      await stage.plugBystander();
    },
  },
  {
    name: 'PulseAudio of the guest killed',
    inject: ({ host, subject }) => host.killGuestPulse(subject),
    recover: async (stage) => {
      await stage.host.startGuestPulse(stage.subject);
      await stage.loadDevices();
    },
  },
  {
    name: 'sink unplugged',
    inject: async (stage) => {
      const { host, subject, desktop } = stage;
      const playsOn = async (name: string): Promise<void> => {
        await waitFor(`the guest to play on ${name}`, async () => {
          const { index } = await host.client.sink(name);
          return (await inMixer(host, subject))?.sink === index;
        });
      };
      const module = await stage.plug(HEADSET);
      await desktop.call(subject, 'SetRoute', 'ss', 'playback', HEADSET);
      await playsOn(HEADSET);
      await host.client.unloadModule(module);
      await awaitInMixer(host, subject);
      const again = await stage.plug(HEADSET);
      await playsOn(HEADSET); // what was chosen holds, also for a device that comes back
      await host.client.unloadModule(again);
    },
    recover: async ({ subject, desktop }) => {
      await desktop.call(subject, 'SetRoute', 'ss', 'playback', '');
    },
  },
  {
    name: 'controller killed',
    inject: ({ host }) => host.killController(),
    recover: ({ host }) => host.startController(),
  },
  {
    name: 'controller upgraded',
    inject: ({ host }) => host.stopController(),
    recover: ({ host }) => host.startController(),
  },
  {
    name: 'connection to xenstore lost',
    inject: ({ wire }) => {
      wire.cut();
      return Promise.resolve();
    },
    recover: ({ wire }) => wire.mend(),
  },
  {
    name: 'D-Bus restarted',
    inject: async ({ host }) => {
      await host.bus.stop();
    },
    recover: ({ host }) => host.bus.start(),
  },
];

describe('what is as before, and nobody else noticed, after a fault:', function () {
  this.timeout(TEST_MS);
  let stage: FaultStage | undefined;

  beforeEach(async () => {
    stage ??= await FaultStage.start();
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    const broken = stage;
    stage = undefined;
    await broken?.stop();
  });

  after(async () => {
    await stage?.stop();
  });

  for (const { name, concernsAll = false, inject, recover } of FAULTS) {
    it(name, async () => {
      assert.ok(stage !== undefined);
      const now = stage;
      let tookMs = 0;
      await now.during(async () => {
        await inject(now);
        await recover(now);
        tookMs = await now.sounds();
      }, concernsAll);
      await waitFor('the daemon to answer', () => now.desktop.volume(now.subject));
      await now.isAsBefore();
      await now.leaksNothing();
      console.log(`      back after ${Math.round(tookMs)} ms`);
      assert.ok(tookMs < RECOVERY_MS, `it took ${tookMs} ms`);
    });
  }
});

describe('the faults of docs/reliability.md', () => {
  it('are those that are tested', () => {
    const [table = ''] = readFileSync(TABLE, 'utf8').split('## Faults')[1]?.split('Other specs') ?? [];
    const rows = [...table.matchAll(/^\| ([^|]+) \|/gm)].map(([, name]) => name).slice(2);
    assert.deepEqual(
      rows,
      FAULTS.map(({ name }) => name),
    );
  });
});
