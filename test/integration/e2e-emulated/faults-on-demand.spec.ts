// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: calls that fail, events that get lost, a daemon that dies, each at the moment that a test chooses. */
import assert from 'node:assert/strict';

import { DOM0, type Emulator } from '../../emulator/client.js';
import { EmulatedXen } from '../../host/emulated/emulated-xen.js';
import { Host, SPEAKERS } from '../../host/host.js';
import type { Counts } from '../../host/xen.js';
import { TwoGuests } from '../../lib/e2e-lifecycle.js';
import { Ear } from '../../lib/e2e-lifecycle-ear.js';
import { XenstoreWire } from '../../lib/faults-xenstore-wire.js';
import { LightGuests, type LightGuest } from '../../lib/light-guest.js';
import { backendModules, returnsTo, settledCounts } from '../../lib/many.js';
import { FULL } from '../../lib/scale.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = FULL ? 1_800_000 : 120_000;
/** Of the daemon's steps, one in so many is tried. */
const STRIDE = FULL ? 1 : 12;
/** More than connecting takes; a loop ends sooner, when it has been through all calls. */
const STEPS_MAX = 400;

describe('end to end: at any moment', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let wire: XenstoreWire;
  let emulator: Emulator;
  let guests: LightGuests;
  let guest: LightGuest;
  /** What is held while the guest's card is detached. */
  let bare: Counts;

  before(async () => {
    host = await Host.start();
    assert.ok(host.xen instanceof EmulatedXen);
    emulator = host.xen.control;
    wire = await XenstoreWire.tap(host);
    guests = new LightGuests(host);
    guest = await guests.create('subject');
    await playsAndLeaves();
    bare = await settledCounts(host);
  });

  after(async () => {
    await guests.stop();
    await host.stop();
    wire.cut();
  });

  const stateOf = (stream: string): Promise<string | undefined> =>
    host.xen.store.tryRead(`/local/domain/0/data/xen-audio/${guest.domid}/0/${stream}/state`);

  /** The guest gets a card, unless it has one, and plays and records; then the card goes. */
  async function playsAndLeaves(attaching = guest.attach()): Promise<void> {
    await attaching;
    await guest.connected();
    guest.order('play');
    guest.order('record');
    await waitFor('both streams to run', async () => {
      const states = await Promise.all([stateOf('0/0'), stateOf('0/1')]);
      return states.join() === 'playing,recording';
    });
    guest.order('stop');
    guest.order('deafen');
    await guest.detach();
  }

  async function leavesNothing(): Promise<void> {
    await returnsTo(host, bare);
    assert.equal(await backendModules(host), 0);
  }

  /** Attaches a card while the daemon stands still; it goes on when all is prepared. */
  async function attachWhileFrozen(prepare: () => Promise<void>): Promise<{ attaching: Promise<void> }> {
    const pid = host.controller.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      const attaching = guest.attach();
      attaching.catch(() => undefined); // awaited by who asked
      const path = `/local/domain/0/backend/vsnd/${guest.domid}/0/state`;
      await waitFor('the card to be written', async () => (await host.xen.store.tryRead(path)) === '1');
      await prepare();
      return { attaching };
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  for (const fault of ['map', 'bind'] as const) {
    it(`a ${fault} of dom0 may fail: the guest is connected all the same`, async () => {
      let after = 0;
      for (; after < STEPS_MAX; after += 1) {
        const { attaching } = await attachWhileFrozen(() => emulator.fail(DOM0, fault, after));
        await attaching;
        await guest.connected();
        const left = await emulator.faultsLeft(DOM0);
        await guest.detach();
        await leavesNothing();
        if (left > 0) break;
      }
      assert.ok(after >= 4, `there were ${after} calls, of two streams`);
      assert.ok(after < STEPS_MAX);
    });
  }

  it('xenstored may refuse any write of the daemon and its modules', async () => {
    let after = 0;
    let left = 0;
    for (; left === 0 && after < STEPS_MAX; after += FULL ? 1 : 4) {
      const { attaching } = await attachWhileFrozen(() => emulator.fail(DOM0, 'write', after));
      await attaching;
      await guest.connected();
      left = await emulator.faultsLeft(DOM0);
      await emulator.fail(DOM0, 'write', 0, 0);
      await playsAndLeaves(Promise.resolve());
      await leavesNothing();
    }
    assert.ok(after < STEPS_MAX);
  });

  it('the daemon may be killed: the next one goes on where it was', async () => {
    let reached = true;
    let step = 0;
    for (; reached && step < STEPS_MAX; step += STRIDE) {
      await host.killController();
      reached = false;
      wire.tripAfter(step, () => (reached = true));
      const starting = host.startController().catch(() => undefined); // it may be killed before
      let isConnected = false;
      const attaching = guest.attach();
      const connecting = attaching.then(() => guest.connected()).then(() => (isConnected = true));
      connecting.catch(() => undefined); // seen below
      await waitFor(`step ${step}, or a connected guest`, () => reached || isConnected, {
        timeoutMs: 20_000,
      });
      await host.killController();
      await starting;
      await host.startController();
      await connecting;
      await playsAndLeaves(Promise.resolve());
      await leavesNothing();
    }
    console.log(`      ${step} steps`);
    assert.ok(step < STEPS_MAX);
  });
});

describe('end to end: events that get lost', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let ear: Ear;

  before(async () => {
    stage = await TwoGuests.start();
    await stage.loadSink();
    ear = await Ear.open(stage.host, SPEAKERS);
  });

  afterEach(async () => {
    await stage.endPlayers();
  });

  after(async () => {
    await ear.close();
    await stage.stop();
  });

  for (const way of ['from', 'to'] as const) {
    const lose = async (): Promise<void> => {
      const { host, subject } = stage;
      assert.ok(host.xen instanceof EmulatedXen);
      await host.xen.control.loseEvents(subject.domain.key, way);
    };

    it(`${way} a guest that plays cost it a moment, and nobody else anything`, async () => {
      await stage.undisturbed(async () => {
        const player = stage.play();
        await ear.hears();
        await lose();
        await ear.hears(1);
        assert.equal(player.running, true);
      });
    });

    it(`${way} a guest that begins to play cost it a few seconds, and nobody else anything`, async () => {
      await stage.idleCounts();
      await stage.undisturbed(async () => {
        await lose();
        const player = stage.play();
        await ear.hears(1);
        assert.equal(player.running, true);
      });
    });
  }
});
