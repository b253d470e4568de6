// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '../../../controller/adapters/system/system-clock.js';
import { XenstoreAdapter } from '../../../controller/adapters/xenstore/xenstore-adapter.js';
import { ApiError, type ApiErrorCode, type CardLayout } from '../../../controller/api/audio-api.js';
import type { ClockPort } from '../../../controller/device/ports.js';
import { DeviceRegistry } from '../../../controller/device/registry.js';
import { AutoAttach } from '../../../controller/toolstack/auto-attach.js';
import { Toolstack } from '../../../controller/toolstack/toolstack.js';
import { DaemonConfig } from '../../../schemas/config.js';
import { Emulator } from '../../emulator/client.js';
import { guestsOf } from '../../lib/guests-of.js';
import { FakeClock, FakeLog, FakePulse } from '../../lib/fake-ports.js';
import { Toolstack as Xl, type VsndCard } from '../../lib/toolstack.js';
import { waitFor } from '../../lib/wait.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';

const GUEST = { key: 'guest', domid: 7, name: 'music', uuid: '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10' };
const OTHER = { key: 'other', domid: 8, name: 'driver', uuid: '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b11' };
const BACKENDS = '/local/domain/0/backend/vsnd';
const LIMIT_MS = 10_000;

/** What an administrator would write into xl.cfg for the same cards. */
const XL_CARDS: Readonly<Record<CardLayout, readonly VsndCard[]>> = {
  modules: [
    { shortName: 'Xen', pcm: [{ name: 'Playback', streams: [{ type: 'p', uniqueId: 'out' }] }] },
    { shortName: 'Xen', pcm: [{ name: 'Capture', streams: [{ type: 'c', uniqueId: 'in' }] }] },
  ],
  kernel: [
    {
      shortName: 'Xen',
      sampleRates: [8000, 16_000, 32_000, 44_100, 48_000, 96_000],
      sampleFormats: ['s16_le', 's24_le', 's32_le'],
      channelsMin: 1,
      channelsMax: 2,
      bufferSizeBytes: 65_536,
      pcm: [
        {
          name: 'Main',
          streams: [
            { type: 'p', uniqueId: 'out' },
            { type: 'c', uniqueId: 'in' },
          ],
        },
      ],
    },
  ],
};

describe('attaching and detaching cards, over libxenstore and the emulated Xen', () => {
  let directory: string;
  let emulator: Emulator;
  let dom0: XenstoreClient;
  let adapter: XenstoreAdapter;
  let registry: DeviceRegistry;
  let toolstack: Toolstack;
  let pulse: FakePulse;
  let log: FakeLog;
  const savedPath = process.env['XENSTORED_PATH'];

  const openAdapter = (key: string): Promise<XenstoreAdapter> => {
    process.env['XENSTORED_PATH'] = emulator.xenstorePath(key);
    return XenstoreAdapter.open(log, () => undefined);
  };

  const makeToolstack = (clock: ClockPort = new SystemClock()): Toolstack =>
    new Toolstack({ ownDomid: 0, xenstore: adapter, clock, log });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    emulator = await Emulator.start({ directory: join(directory, 'xen') });
    await emulator.createDomain(GUEST);
    dom0 = await emulator.openXenstore('dom0');
    [pulse, log] = [new FakePulse(), new FakeLog()];
    adapter = await openAdapter('dom0');
    const config = DaemonConfig.parse({});
    const clock = new SystemClock();
    const guests = guestsOf(adapter, log);
    registry = new DeviceRegistry({ ownDomid: 0, config, xenstore: adapter, pulse, clock, log, guests });
    await registry.start();
    toolstack = makeToolstack();
  });

  afterEach(async () => {
    await toolstack.close();
    await registry.stop().catch(() => undefined);
    await adapter.close();
    dom0.close();
    await emulator.stop();
    await rm(directory, { recursive: true });
    if (savedPath === undefined) Reflect.deleteProperty(process.env, 'XENSTORED_PATH');
    else process.env['XENSTORED_PATH'] = savedPath;
  });

  /** All nodes at and below a path: value and permissions. */
  const dump = async (path: string): Promise<[string, string][]> => {
    const children = await dom0.directory(path);
    if (children === undefined) return [];
    const own: [string, string] = [path, `${await dom0.read(path)} ${(await dom0.getPerms(path)).join(' ')}`];
    const below = await Promise.all(children.map((name) => dump(`${path}/${name}`)));
    return [own, ...below.flat()].sort(([a], [b]) => (a < b ? -1 : 1));
  };

  const everything = async (): Promise<[string, string][]> =>
    (await Promise.all([BACKENDS, '/local/domain/7', '/libxl/7'].map(dump))).flat();

  const refusal = async (work: Promise<unknown>): Promise<[ApiErrorCode, string]> => {
    const [result] = await Promise.allSettled([work]);
    const error: unknown = result.status === 'rejected' ? result.reason : 'it was done';
    assert.ok(error instanceof ApiError, String(error));
    return [error.code, error.message];
  };

  const stateIs = (node: string, wanted: string): Promise<unknown> =>
    waitFor(`${node} to be ${wanted}`, async () => (await dom0.tryRead(node)) === wanted, {
      detail: () => log.lines.join('\n'),
    });

  /** A guest's frontend connects the streams of its card. */
  const connect = async (guest: XenstoreClient, devid: number): Promise<void> => {
    await stateIs(`${BACKENDS}/7/${devid}/state`, '2');
    await guest.transaction(async (access) => {
      const ports = { 'ring-ref': '8', 'event-channel': '3', 'evt-ring-ref': '9', 'evt-event-channel': '4' };
      for (const [name, value] of Object.entries(ports)) {
        await access.write(`device/vsnd/${devid}/0/0/${name}`, value);
      }
      await access.write(`device/vsnd/${devid}/state`, '3');
    });
    await stateIs(`${BACKENDS}/7/${devid}/state`, '4');
    await guest.write(`device/vsnd/${devid}/state`, '4');
  };

  for (const layout of ['modules', 'kernel'] as const) {
    it(`makes what xl makes of the same cards, and leaves nothing of them: ${layout}`, async () => {
      const bare = await everything();
      const devids = await toolstack.attach(7, layout);
      for (const devid of devids) await stateIs(`${BACKENDS}/7/${devid}/state`, '2');
      const made = await everything();
      for (const devid of devids) await toolstack.detach(7, devid);
      assert.deepEqual(await everything(), bare);

      const xl = new Xl(dom0);
      for (const [devid, card] of XL_CARDS[layout].entries()) await xl.addVsnd(7, devid, card);
      assert.deepEqual(made, await everything());
      assert.deepEqual(devids, [...XL_CARDS[layout].keys()]);
    });
  }

  it('detaches a card of xl, and xl one of ours', async () => {
    const bare = await everything();
    const xl = new Xl(dom0);
    await xl.addVsnd(7, 0, XL_CARDS.kernel[0] ?? { pcm: [] });
    assert.deepEqual((await refusal(toolstack.attach(7, 'modules')))[0], 'AlreadyAttached');
    await toolstack.detach(7, 0);
    assert.deepEqual(await everything(), bare);

    await toolstack.attach(7, 'kernel');
    await xl.removeVsnd(7, 0);
    assert.equal(await dom0.tryRead('/libxl/7/device/vsnd/0'), undefined);
  });

  it('serves a card as soon as it is attached, and detaches it while it is connected', async () => {
    const guest = await emulator.openXenstore('guest');
    try {
      await toolstack.attach(7, 'modules');
      await connect(guest, 0);
      assert.equal(pulse.loaded.length, 1);

      const begin = performance.now();
      await toolstack.detach(7, 0);

      assert.ok(performance.now() - begin < LIMIT_MS / 2, 'it took half of its limit or more');
      // a guest like Linux is answered until its card is gone
      await waitFor('its module to go', () => pulse.loaded.length === 0);
      assert.equal(await guest.tryRead('device/vsnd/0/state'), undefined);
      assert.equal(await guest.read('device/vsnd/1/state'), '1');
    } finally {
      guest.close();
    }
  });

  it('keeps no watch and no transaction', async () => {
    const held = async (): Promise<unknown[]> => {
      const { watches, transactions } = (await emulator.counts()).domains['dom0'] ?? {};
      return [watches, transactions];
    };
    const before = await held();
    for (let round = 0; round < 3; round += 1) {
      for (const devid of await toolstack.attach(7, 'modules')) await toolstack.detach(7, devid);
    }
    await refusal(toolstack.detach(7, 0));

    await waitFor('what was held before', async () => String(await held()) === String(before), {
      detail: async () => `${String(before)} became ${String(await held())}`,
    });
  });

  it('takes back what it made when the guest is destroyed before its backend answers', async () => {
    await registry.stop();
    const attaching = refusal(toolstack.attach(7, 'modules'));
    await stateIs(`${BACKENDS}/7/1/state`, '1');
    await emulator.destroyDomain('guest');

    assert.equal((await attaching)[0], 'NoSuchGuest');
    assert.deepEqual(await everything(), []);
    assert.deepEqual((await refusal(toolstack.attach(7, 'modules')))[0], 'NoSuchGuest');
  });

  it('takes back what it made when nobody serves it, in 10 s', async () => {
    await registry.stop();
    const clock = new FakeClock();
    const bare = await everything();
    const attaching = refusal(makeToolstack(clock).attach(7, 'kernel'));
    await stateIs(`${BACKENDS}/7/0/state`, '1');
    await waitFor('the wait to begin', () => clock.pending === 1);
    await clock.advance(LIMIT_MS);

    assert.deepEqual((await attaching)[0], 'Timeout');
    assert.deepEqual(await everything(), bare);
  });

  it('ends when xenstore goes meanwhile', async () => {
    await registry.stop();
    const clock = new FakeClock();
    const attaching = refusal(makeToolstack(clock).attach(7, 'kernel'));
    await stateIs(`${BACKENDS}/7/0/state`, '1');
    await waitFor('the wait to begin', () => clock.pending === 1);
    await emulator.stop();
    await clock.advance(LIMIT_MS);

    const [code, message] = await attaching;
    assert.equal(code, 'XenstoreDown', message);
    assert.deepEqual((await refusal(toolstack.detach(7, 0)))[0], 'XenstoreDown');
  });

  it('is refused in a domain that is no toolstack, and makes nothing there', async () => {
    await emulator.createDomain(OTHER);
    const xenstore = await openAdapter('other');
    const bare = await everything();
    const elsewhere = new Toolstack({ ownDomid: 8, xenstore, clock: new SystemClock(), log });
    try {
      const [code, message] = await refusal(elsewhere.attach(7, 'modules'));
      assert.deepEqual([code, message.includes('EACCES')], ['Failed', true], message);
      assert.deepEqual(await everything(), bare);
    } finally {
      await elsewhere.close();
      await xenstore.close();
    }
  });

  it('attaches by policy to a guest that has begun to run, and to no other', async () => {
    await emulator.createDomain(OTHER);
    const context = { ownDomid: 0, xenstore: adapter, clock: new SystemClock(), log };
    const auto = new AutoAttach(context, toolstack, () => 'kernel');
    await auto.start();
    try {
      await dom0.write('/local/domain/7/control/feature-poweroff', '1');
      await stateIs(`${BACKENDS}/7/0/state`, '2');
      await stateIs('/libxl/7/xen-audio-attached', '1');

      assert.equal(await dom0.tryRead(`${BACKENDS}/8`), undefined);
    } finally {
      await auto.stop();
    }
  });
});
