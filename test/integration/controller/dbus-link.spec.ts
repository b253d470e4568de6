// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { paths } from '../../lib/paths.js';
import { waitFor, within } from '../../lib/wait.js';
import {
  DbusBench,
  EVERYTHING,
  FIRST_PATH,
  GUEST,
  MANAGER,
  NAME,
  PROPERTIES,
  ROOT,
  STRANGER_UID,
} from './dbus-support.js';

/** Longer than the first pauses of the reconnection, 1 and 2 seconds, with those of a busy machine. */
const RECONNECT_MS = 15_000;
const SOON_MS = 3_000;

describe('the D-Bus service and its bus', function () {
  this.timeout(30_000);
  let bench: DbusBench;

  beforeEach(() => {
    bench = new DbusBench();
  });

  afterEach(() => bench.stop());

  const owned = (times: number): Promise<unknown> =>
    waitFor('the name', () => bench.log.matching(/is on the bus/).length === times, {
      timeoutMs: RECONNECT_MS,
      detail: () => bench.log.lines.join('\n'),
    });

  const works = async (): Promise<void> => {
    assert.deepEqual(await bench.call(ROOT, `${MANAGER}.GetGuest`, 's', 'guest1'), [FIRST_PATH]);
  };

  it('that comes later is found, and its absence is said once', async () => {
    await bench.service.start();
    bench.api.change('u0', {});
    await waitFor('a second try', () => bench.log.lines.length > 0);

    await bench.bus.start();
    await owned(1);

    await works();
    assert.equal(bench.log.matching(/^warning dbus no D-Bus at unix:path=/).length, 1);
  });

  it('that is killed and started again is found again, with what has changed meanwhile', async () => {
    await bench.start();
    for (const round of [2, 3]) {
      await bench.bus.kill();
      await waitFor('the loss', () => bench.log.matching(/^warning dbus no D-Bus/).length === round - 1);
      bench.api.change(bench.api.guests()[0]?.id ?? '', { name: `name${round}` });

      await bench.bus.start();
      await owned(round);

      const name = await bench.call(FIRST_PATH, `${PROPERTIES}.Get`, 'ss', GUEST, 'Name');
      assert.deepEqual(name, [{ type: 's', data: `name${round}` }]);
    }
  });

  it('that goes in the middle of calls is survived', async () => {
    await bench.start();
    const held: (() => void)[] = [];
    bench.api.hold = () => new Promise((resolve) => held.push(resolve));
    const calls = [1, 2, 3].map(() => bench.gdbus(FIRST_PATH, `${GUEST}.DenyCapture`, []));
    const outcomes = Promise.allSettled(calls);
    await waitFor('the calls', () => held.length === 3);

    await bench.bus.kill();
    await outcomes;
    for (const release of held) release();
    await bench.bus.start();
    await owned(2);

    bench.api.hold = () => Promise.resolve();
    await works();
  });

  it('says who holds its name, and takes it when that one ends', async () => {
    await bench.bus.start();
    const other = await bench.client();
    await other.callBus('RequestName', 'su', NAME, 0);

    await bench.service.start();
    const [line = ''] = bench.log.matching(/^error/);
    assert.match(
      line,
      new RegExp(
        `dbus the name ${NAME} is held by process ${process.pid} of user ${process.geteuid?.() ?? 0} \\(:`,
      ),
    );
    await other.close();

    await owned(1);
    await works();
  });

  it('that does not let it have its name is said with what to install', async () => {
    await bench.bus.start(EVERYTHING.replace('<allow own="*"/>', '<deny own="*"/>'));

    await bench.service.start();

    assert.match(bench.log.matching(/^warning/)[0] ?? '', /org\.xenproject\.Audio1\.conf in \/usr\/share/);
  });

  it('lets everybody call with the policy that is installed, and root own the name', async function () {
    const file = join(paths.root, 'packaging', 'dbus', `${NAME}.conf`);
    const own = (await readFile(file, 'utf8')).replace('user="root"', `user="${process.geteuid?.() ?? 0}"`);
    const policy = own.slice(own.indexOf('<policy'), own.lastIndexOf('</busconfig>'));
    // As /usr/share/dbus-1/system.conf begins: nobody may own or call anything that no other file allows.
    await bench.bus.start(`
      <policy context="default">
        <allow user="*"/><deny own="*"/><deny send_type="method_call"/><allow send_type="signal"/>
        <allow send_requested_reply="true" send_type="method_return"/>
        <allow send_requested_reply="true" send_type="error"/>
        <allow receive_type="method_call"/><allow receive_type="method_return"/>
        <allow receive_type="error"/><allow receive_type="signal"/>
        <allow send_destination="org.freedesktop.DBus"/>
      </policy>
      ${policy}`);
    await bench.service.start();
    await owned(1);

    const outcome = await bench.asStranger(ROOT, `${MANAGER}.GetGuest`, "'guest1'");

    assert.deepEqual(outcome, { value: `(objectpath '${FIRST_PATH}',)` });
    assert.notEqual(STRANGER_UID, 0);
  });

  it('answers what waits when it stops, and is gone soon', async () => {
    await bench.start();
    bench.api.hold = () => new Promise(() => undefined);
    const waiting = bench.gdbus(FIRST_PATH, `${GUEST}.DenyCapture`, []);
    await waitFor('the call', () => bench.api.calls.length === 1);

    const began = performance.now();
    await bench.service.stop();
    assert.ok(performance.now() - began < SOON_MS);

    const outcome = await within('the answer', 10_000, waiting);
    assert.equal(outcome.error, `${NAME}.Error.Failed`);
    assert.match(outcome.message ?? '', /xen-audiod stops/);
    assert.equal(bench.api.listeners, 0);
    await assert.rejects(works());
  });

  it('stops soon while the bus hangs, and while there is none', async () => {
    const absent = new DbusBench();
    await absent.service.start();
    await absent.stop();
    await bench.start();
    bench.bus.signal('SIGSTOP');

    const began = performance.now();
    await bench.service.stop();

    assert.ok(performance.now() - began < SOON_MS);
    bench.bus.signal('SIGCONT');
  });
});
