// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import type { BusConnection } from '../../../../../controller/adapters/dbus/bus-connection.js';
import type { IncomingMessage } from '../../../../../controller/adapters/dbus/wire/message.js';
import { SleepWatch } from '../../../../../controller/adapters/login1/sleep-watch.js';
import { FakeLog, settle } from '../../../../lib/fake-ports.js';

const BUS = 'org.freedesktop.DBus';
const LOGIN = 'org.freedesktop.login1';
const LOGIND = ':1.5';
const STRANGER = ':1.66';

describe('SleepWatch', () => {
  let said: string[];
  let watch: SleepWatch;

  beforeEach(async () => {
    said = [];
    const note = (what: string) => (): Promise<void> => {
      said.push(what);
      return Promise.resolve();
    };
    watch = new SleepWatch(
      { pause: note('pause'), resume: note('resume') },
      () => {
        said.push('taken');
        return { release: note('released') };
      },
      new FakeLog(),
    );
    watch.attach({
      callBus: () => Promise.resolve([]),
      askBus: (member: string) => Promise.resolve(member === 'NameHasOwner' ? 'true' : LOGIND),
    } as unknown as BusConnection);
    await settle();
    assert.deepEqual(said.splice(0), ['taken']);
  });

  const message = (sender: string, change: Partial<IncomingMessage>): IncomingMessage => ({
    ...{ type: 'signal', flags: 0, serial: 1, signature: '', complete: true, sender },
    body: () => [],
    ...change,
  });

  const prepareForSleep = (sender: string, before: boolean): IncomingMessage =>
    message(sender, {
      ...{ path: '/org/freedesktop/login1', interface: `${LOGIN}.Manager`, member: 'PrepareForSleep' },
      ...{ signature: 'b', body: () => [before] },
    });

  const ownerChanged = (sender: string, owner: string): IncomingMessage =>
    message(sender, {
      ...{ path: '/org/freedesktop/DBus', interface: BUS, member: 'NameOwnerChanged' },
      ...{ signature: 'sss', body: () => [LOGIN, LOGIND, owner] },
    });

  const hear = async (...messages: readonly IncomingMessage[]): Promise<string[]> => {
    for (const one of messages) watch.signal(one);
    await settle();
    return said.splice(0);
  };

  it('pauses for logind, and goes on', async () => {
    assert.deepEqual(await hear(prepareForSleep(LOGIND, true)), ['pause', 'released']);
    assert.deepEqual(await hear(prepareForSleep(LOGIND, false)), ['resume', 'taken']);
  });

  it('believes nobody but the bus who is logind', async () => {
    assert.deepEqual(await hear(ownerChanged(STRANGER, STRANGER), prepareForSleep(STRANGER, true)), []);
    assert.deepEqual(await hear(ownerChanged(BUS, STRANGER)), ['released', 'taken']);
    assert.deepEqual(await hear(prepareForSleep(LOGIND, true)), []);
    assert.deepEqual(await hear(prepareForSleep(STRANGER, true)), ['pause', 'released']);
  });

  it('reads no message that was too long to be kept', async () => {
    const cut = (whole: IncomingMessage): IncomingMessage => ({
      ...whole,
      complete: false,
      body: () => assert.fail('read'),
    });
    assert.deepEqual(await hear(cut(ownerChanged(BUS, STRANGER)), cut(prepareForSleep(LOGIND, true))), []);
  });
});
