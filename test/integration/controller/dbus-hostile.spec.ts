// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import type { BusConnection } from '../../../controller/adapters/dbus/bus-connection.js';
import { OUTSTANDING_MAX } from '../../../controller/adapters/dbus/callers.js';
import { DbusError } from '../../../controller/adapters/dbus/errors.js';
import { Variant, type DBusValue } from '../../../controller/adapters/dbus/wire/signature.js';
import { waitFor } from '../../lib/wait.js';
import { DbusBench, FIRST, FIRST_PATH, GUEST, MANAGER, PROPERTIES, ROOT } from './dbus-support.js';

const NO_REPLY_EXPECTED = 1;
const LONG_MS = 30_000;

/** Message-level calls, which busctl and gdbus would not make. */
describe('a hostile caller on D-Bus', () => {
  let bench: DbusBench;
  let client: BusConnection;
  let service: string;

  beforeEach(async () => {
    bench = new DbusBench();
    await bench.start();
    client = await bench.client();
    service = await client.askBus('GetNameOwner', 's', 'org.xenproject.Audio1');
  });

  afterEach(async () => {
    await client.close();
    await bench.stop();
  });

  const call = (
    path: string,
    owner: string | undefined,
    member: string,
    signature = '',
    ...body: readonly DBusValue[]
  ): Promise<DBusValue[]> =>
    client.call(
      {
        destination: service,
        path,
        member,
        signature,
        body,
        ...(owner !== undefined && { interface: owner }),
      },
      LONG_MS,
    );

  const refused = (error: string) => (thrown: unknown) =>
    thrown instanceof DbusError && thrown.errorName === `org.freedesktop.DBus.Error.${error}`;

  /** The service is alive, and has kept its connection. */
  const isWell = async (): Promise<void> => {
    assert.deepEqual(await call(ROOT, MANAGER, 'GetGuest', 's', 'guest1'), [FIRST_PATH]);
    assert.equal(bench.log.matching(/is on the bus/).length, 1);
    assert.deepEqual(bench.log.matching(/^(error|warning)/), []);
  };

  for (const [title, signature, value] of [
    ['a descriptor that is not there', 'h', 0],
    ['a list of variants', 'av', [new Variant('v', new Variant('ai', [1, 2]))]],
    ['a dictionary with names of JavaScript', 'a{sv}', [['__proto__', new Variant('s', 'x')]]],
    ['another number', 't', 60n],
    ['a text', 's', '60'],
    ['a struct', '(u)', [60]],
  ] as const) {
    it(`that passes ${title} for a number gets InvalidArgs`, async () => {
      await assert.rejects(
        call(FIRST_PATH, GUEST, 'AllowCaptureFor', signature, value),
        refused('InvalidArgs'),
      );
      await isWell();
    });
  }

  it('that nests variants as deep as the bus lets him gets an error', async () => {
    let value = new Variant('d', 0.5);
    for (let depth = 0; depth < 60; depth += 1) value = new Variant('v', value);

    await assert.rejects(
      call(FIRST_PATH, PROPERTIES, 'Set', 'ssv', GUEST, 'Volume', value),
      refused('InvalidArgs'),
    );
    await isWell();
  });

  it('that names no interface finds the method, or an error', async () => {
    assert.deepEqual(await call(ROOT, undefined, 'GetGuest', 's', '1'), [FIRST_PATH]);
    await assert.rejects(call(ROOT, undefined, 'Explode'), refused('UnknownMethod'));
    await assert.rejects(call('/elsewhere', undefined, 'Explode'), refused('UnknownObject'));
    await assert.rejects(call(FIRST_PATH, undefined, 'constructor'), refused('UnknownMethod'));
    assert.deepEqual(await call('/elsewhere', 'org.freedesktop.DBus.Peer', 'Ping'), []);
  });

  it('that asks for the names of JavaScript as properties gets UnknownProperty', async () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      await assert.rejects(
        call(FIRST_PATH, PROPERTIES, 'Get', 'ss', GUEST, name),
        refused('UnknownProperty'),
      );
      const value = new Variant('s', 'x');
      await assert.rejects(
        call(FIRST_PATH, PROPERTIES, 'Set', 'ssv', GUEST, name, value),
        refused('UnknownProperty'),
      );
    }
  });

  it('that sends 50 MiB gets LimitsExceeded, and they are not kept', async () => {
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 5; round += 1) {
      await assert.rejects(
        call(ROOT, MANAGER, 'GetGuest', 's', 'x'.repeat(10 * 1024 * 1024)),
        refused('LimitsExceeded'),
      );
    }
    await isWell();
    // The sender is in this process as well, with a few copies of what it sends.
    assert.ok(process.memoryUsage().rss - before < 400 * 1024 * 1024);
  });

  it('that sends answers and signals of its own making changes nothing', async () => {
    client.send({ type: 'return', destination: service, replySerial: 1, signature: 's', body: ['x'] });
    client.send({ type: 'error', destination: service, replySerial: 2, errorName: 'a.b' });
    client.send({
      ...{ type: 'signal', destination: service, path: '/org/freedesktop/DBus' },
      ...{ interface: 'org.freedesktop.DBus', member: 'NameLost', signature: 's' },
      body: ['org.xenproject.Audio1'],
    });

    await isWell();
  });

  it('that wants no answer gets none, and what it asks is done', async () => {
    client.send({
      ...{ type: 'call', flags: NO_REPLY_EXPECTED, destination: service },
      ...{ path: FIRST_PATH, interface: GUEST, member: 'DenyCapture' },
    });

    await waitFor('the call', () => bench.api.calls.length === 1);
    await isWell();
  });

  it('that has 1000 calls under way is refused those above its share, while others are served', async () => {
    const held: (() => void)[] = [];
    bench.api.hold = () => new Promise((resolve) => held.push(resolve));
    const calls = Array.from({ length: 1000 }, () => call(FIRST_PATH, GUEST, 'DenyCapture'));
    const outcomes = Promise.allSettled(calls);
    await waitFor('those in its share', () => held.length === OUTSTANDING_MAX);

    assert.deepEqual(await bench.call(ROOT, `${MANAGER}.GetGuest`, 's', 'guest1'), [FIRST_PATH]);
    bench.api.hold = () => Promise.resolve();
    assert.equal(await bench.call(FIRST_PATH, `${GUEST}.AllowCaptureOnce`), undefined);
    for (const release of held) release();

    const rejected = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    assert.equal(rejected.length, 1000 - OUTSTANDING_MAX);
    assert.ok(rejected.every(({ reason }) => refused('LimitsExceeded')(reason)));
  });

  it('that asks 5000 times for everything at once keeps nobody else from being answered, and costs no memory', async function () {
    this.timeout(60_000);
    const flood = await bench.client();
    const before = process.memoryUsage().rss;
    const question = {
      ...({ type: 'call', destination: service, path: FIRST_PATH } as const),
      ...{ interface: 'org.freedesktop.DBus.Introspectable', member: 'Introspect' },
    };
    for (let count = 0; count < 5_000; count += 1) flood.send(question);

    assert.deepEqual(await bench.call(ROOT, `${MANAGER}.GetGuest`, 's', 'guest1'), [FIRST_PATH]);
    await flood.close();
    await isWell();
    assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
  });

  it('1000 calls at once of ten callers are all answered, and each caller in its order', async () => {
    const callers = await Promise.all(Array.from({ length: 10 }, () => bench.client()));
    const set = (caller: BusConnection, volume: number): Promise<DBusValue[]> =>
      caller.call(
        {
          ...{ destination: service, path: FIRST_PATH, interface: PROPERTIES, member: 'Set' },
          ...{ signature: 'ssv', body: [GUEST, 'Volume', new Variant('d', volume / 65_536)] },
        },
        LONG_MS,
      );

    const answers = await Promise.all(
      callers.flatMap((caller, number) =>
        Array.from({ length: 100 }, (_none, turn) => set(caller, number * 1000 + turn)),
      ),
    );

    assert.equal(answers.length, 1000);
    const volumes = bench.api.calls.map(
      (line) => (JSON.parse(line.slice('setVolume('.length, -1)) as [string, number])[1],
    );
    for (const number of callers.keys()) {
      const own = volumes.filter((volume) => Math.floor(volume / 1000) === number);
      assert.deepEqual(
        own,
        Array.from({ length: 100 }, (_none, turn) => number * 1000 + turn),
      );
    }
    assert.equal(bench.api.guests()[0]?.id, FIRST.id);
    await Promise.all(callers.map((caller) => caller.close()));
  });
});
