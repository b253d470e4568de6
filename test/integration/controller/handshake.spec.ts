// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '../../../controller/adapters/system/system-clock.js';
import { XenstoreAdapter } from '../../../controller/adapters/xenstore/xenstore-adapter.js';
import { DeviceRegistry } from '../../../controller/device/registry.js';
import type { Guests } from '../../../controller/guest/guests.js';
import type { GuestPolicy } from '../../../controller/policy/evaluate.js';
import { tryParseModargs } from '../../../controller/sndif/modargs.js';
import { DaemonConfig } from '../../../schemas/config.js';
import { Emulator } from '../../emulator/client.js';
import { FakeLog, FakePulse } from '../../lib/fake-ports.js';
import { guestsOf } from '../../lib/guests-of.js';
import { Toolstack } from '../../lib/toolstack.js';
import { waitFor } from '../../lib/wait.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';

const GUEST = { key: 'guest', domid: 7, name: 'music', uuid: '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10' };
const BACKEND = '/local/domain/0/backend/vsnd/7/0';
const CONTROL = '/local/domain/0/data/xen-audio';
const CARD = { sampleRates: [44_100, 48_000], pcm: [{ streams: [{ type: 'p', uniqueId: 'out' }] }] } as const;

describe('the handshake, over libxenstore and the emulated Xen', () => {
  let directory: string;
  let emulator: Emulator;
  let dom0: XenstoreClient;
  let guest: XenstoreClient;
  let toolstack: Toolstack;
  let adapter: XenstoreAdapter;
  let registry: DeviceRegistry;
  let guests: Guests;
  let capture: GuestPolicy['capture'];
  let pulse: FakePulse;
  let log: FakeLog;
  const savedPath = process.env['XENSTORED_PATH'];

  const startController = async (): Promise<void> => {
    adapter = await XenstoreAdapter.open(log, (error) => {
      throw error;
    });
    const config = DaemonConfig.parse({});
    guests = guestsOf(adapter, log, () => ({ capture }));
    registry = new DeviceRegistry({
      ownDomid: 0,
      config,
      xenstore: adapter,
      pulse,
      clock: new SystemClock(),
      log,
      guests,
    });
    await registry.start();
  };

  const stopController = async (): Promise<void> => {
    await registry.stop();
    await adapter.close();
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    emulator = await Emulator.start({ directory: join(directory, 'xen') });
    await emulator.createDomain(GUEST);
    dom0 = await emulator.openXenstore('dom0');
    guest = await emulator.openXenstore('guest');
    toolstack = new Toolstack(dom0, undefined, true);
    process.env['XENSTORED_PATH'] = emulator.xenstorePath('dom0');
    [pulse, log, capture] = [new FakePulse(), new FakeLog(), 'ask'];
    await startController();
  });

  afterEach(async () => {
    await stopController();
    guest.close();
    dom0.close();
    await emulator.stop();
    await rm(directory, { recursive: true });
    if (savedPath === undefined) Reflect.deleteProperty(process.env, 'XENSTORED_PATH');
    else process.env['XENSTORED_PATH'] = savedPath;
  });

  const backendState = (wanted: string): Promise<unknown> =>
    waitFor(`backend state ${wanted}`, async () => (await dom0.tryRead(`${BACKEND}/state`)) === wanted, {
      detail: () => log.matching(/^(warning|info)/).join('\n'),
    });

  /** What a frontend publishes in one transaction, by relative paths. */
  const publish = (ringRef = '8'): Promise<void> =>
    guest.transaction(async (access) => {
      const stream = {
        'ring-ref': ringRef,
        'event-channel': '3',
        'evt-ring-ref': '9',
        'evt-event-channel': '4',
      };
      for (const [name, value] of Object.entries({ version: '2', 'feature-latency': '1' })) {
        await access.write(`device/vsnd/0/${name}`, value);
      }
      for (const [name, value] of Object.entries(stream))
        await access.write(`device/vsnd/0/0/0/${name}`, value);
      await access.write('device/vsnd/0/state', '3');
    });

  const connect = async (): Promise<void> => {
    await toolstack.addVsnd(7, 0, CARD);
    await publish();
    await backendState('4');
    await guest.write('device/vsnd/0/state', '4');
  };

  it('connects a card that the toolstack adds, and leaves nothing when the frontend closes', async () => {
    await connect();

    const values = tryParseModargs(pulse.loaded[0]?.argument ?? '');
    assert.deepEqual(
      [values?.['guest'], values?.['uuid'], values?.['rates'], values?.['ring_ref']],
      ['music', GUEST.uuid, '44100,48000', '8'],
    );
    assert.deepEqual([values?.['latency'], values?.['linux_quirks']], ['1', '0']);
    assert.deepEqual(await dom0.getPerms(`${CONTROL}/7/0/0/0`), ['n0']);
    await assert.rejects(guest.read(`${CONTROL}/7/0/0/0`));

    await guest.write('device/vsnd/0/state', '5');
    await backendState('2');
    assert.equal(pulse.loaded.length, 0);
    assert.equal(await dom0.tryRead(CONTROL), undefined);
  });

  it('shows state 2 to a toolstack whose guest is quick', async () => {
    let published: Promise<void> | undefined;
    await guest.watch(`${BACKEND}/state`, 'quick', () => {
      void guest.tryRead(`${BACKEND}/state`).then((state) => {
        if (state === '2') published ??= publish();
      });
    });

    await toolstack.addVsnd(7, 0, CARD);

    await backendState('4');
  });

  it('closes in time when the toolstack removes the card, and does not make its directory anew', async () => {
    await connect();

    await toolstack.removeVsnd(7, 0);

    await waitFor('the device to be forgotten', () => log.matching(/music\/0: gone/).length === 1);
    assert.equal(await dom0.tryRead(BACKEND), undefined);
    assert.equal(await dom0.tryRead(CONTROL), undefined);
    assert.equal(pulse.loaded.length, 0);
  });

  it('lets go within a second of a domain that is destroyed without more', async () => {
    await connect();

    await emulator.destroyDomain('guest');

    await waitFor('the module to be unloaded', () => pulse.loaded.length === 0, { timeoutMs: 1000 });
    await waitFor('the control directory to go', async () => (await dom0.tryRead(CONTROL)) === undefined);
  });

  it('refuses what is malformed and serves the card again when it is mended', async () => {
    await toolstack.addVsnd(7, 0, CARD);
    await publish('eight');
    await backendState('6');
    assert.match(log.matching(/refused/)[0] ?? '', /music\/0: refused: .*ring-ref: found "eight", expected/);

    await guest.write('device/vsnd/0/state', '1');
    await backendState('2');
    await publish();
    await backendState('4');
  });

  it('adopts a playing stream after a restart, having left it alone', async () => {
    await connect();
    const [module] = pulse.loaded;

    await stopController();
    assert.deepEqual(pulse.loaded, [module]);
    await startController();

    await waitFor('the adoption', () => log.matching(/adopted 1 running stream/).length === 1);
    assert.equal(await dom0.tryRead(`${BACKEND}/state`), '4');
    assert.deepEqual(pulse.loaded, [module]);
  });

  it('keeps its word on who may record where the guest can neither read nor write it', async () => {
    await toolstack.addVsnd(7, 0, { pcm: [{ streams: [{ type: 'c' }] }] });
    await publish();
    await backendState('4');
    const node = `${CONTROL}/7/0/0/0/capture`;

    assert.equal(tryParseModargs(pulse.loaded[0]?.argument ?? '')?.['type'], 'c');
    assert.equal(await dom0.read(node), '0');
    assert.deepEqual(await dom0.getPerms(node), ['n0']);
    await assert.rejects(guest.read(node));
    await assert.rejects(guest.write(node, '1'));

    capture = 'allow';
    await guests.policyChanged();
    assert.equal(await dom0.read(node), '1');
    capture = 'ask';
    await guests.policyChanged();
    assert.equal(await dom0.read(node), '0');

    await dom0.write(`${CONTROL}/7/0/0/0/requested`, '1');
    await waitFor(
      'the log to say so',
      () => log.matching(/music\/0: stream 0\/0 asks to record/).length === 1,
    );
    await toolstack.removeVsnd(7, 0);
    await waitFor('the control directory to go', async () => (await dom0.tryRead(CONTROL)) === undefined);
  });

  it('closes a stream that its module reports lost', async () => {
    await connect();

    await dom0.write(`${CONTROL}/7/0/0/0/state`, 'lost: the frontend died');

    await backendState('6');
    assert.equal(pulse.loaded.length, 0);
  });
});
