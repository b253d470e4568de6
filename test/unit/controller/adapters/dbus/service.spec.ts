// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { ApiError } from '../../../../../controller/api/audio-api.js';
import { authorise, isMember, type PolkitAnswer } from '../../../../../controller/adapters/dbus/authorise.js';
import { Callers, OUTSTANDING_MAX } from '../../../../../controller/adapters/dbus/callers.js';
import { signalsBetween } from '../../../../../controller/adapters/dbus/changes.js';
import {
  GUEST,
  loadInterfaces,
  MANAGER,
  PROPERTIES,
  ROOT,
  STREAM,
} from '../../../../../controller/adapters/dbus/interfaces.js';
import { parseInterfaces } from '../../../../../controller/adapters/dbus/introspection.js';
import { servedMethods } from '../../../../../controller/adapters/dbus/methods.js';
import { objectsOf } from '../../../../../controller/adapters/dbus/objects.js';
import { aGuest, aManager, aStream } from '../../../../lib/fake-api.js';
import { settle } from '../../../../lib/fake-ports.js';

describe('the D-Bus interfaces', () => {
  it('describe every property that objects have, and no other', async () => {
    const interfaces = await loadInterfaces();
    const objects = objectsOf(aManager(), [aGuest(1, { streams: [aStream()] })]);

    assert.equal(objects.size, 3);
    for (const object of objects.values()) {
      const described = interfaces.get(object.interface)?.properties;
      assert.deepEqual([...(described?.keys() ?? [])], Object.keys(object.properties));
    }
  });

  it('have a doing for each of their methods, and Set', async () => {
    const interfaces = await loadInterfaces();

    const described = [MANAGER, GUEST, STREAM].flatMap((name) =>
      [...(interfaces.get(name)?.methods.keys() ?? [])].map((method) => `${name}.${method}`),
    );

    assert.deepEqual(new Set(servedMethods()), new Set([...described, `${PROPERTIES}.Set`]));
  });

  it('say how changes are told, by property or for all', () => {
    const emits = (value: string): string =>
      `<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="${value}"/>`;
    const [described] = parseInterfaces(`<node><interface name="a.b">${emits('false')}
      <!-- <property name="Z" type="s" access="read"/> -->
      <property name="A" type="s" access="read"/>
      <property name="B" type="s" access="readwrite">${emits('invalidates')}</property>
      </interface></node>`);

    assert.deepEqual(
      [...(described?.properties.values() ?? [])].map(({ name, writable, emitsChanged }) => [
        name,
        writable,
        emitsChanged,
      ]),
      [
        ['A', false, 'false'],
        ['B', true, 'invalidates'],
      ],
    );
    assert.throws(() => parseInterfaces(`<interface name="a.b">${emits('often')}</interface>`), /often/);
    assert.throws(() => parseInterfaces('<interface><method name="A"/></interface>'), /has no name/);
    assert.throws(
      () => parseInterfaces('<interface name="a"><method name="A"></interface>'),
      /closes nothing/,
    );
  });

  it('are told of properties as their annotations say', () => {
    const emits = (value: string): string =>
      `<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="${value}"/>`;
    const property = (name: string, value: string): string =>
      `<property name="${name}" type="s" access="read">${emits(value)}</property>`;
    const descriptions = parseInterfaces(`<interface name="a.b">${property('Told', 'true')}
      ${property('Named', 'invalidates')}${property('Silent', 'false')}</interface>`);
    const interfaces = new Map(descriptions.map((description) => [description.name, description]));
    const state = (value: string): Parameters<typeof signalsBetween>[1] =>
      new Map([[ROOT, { interface: 'a.b', properties: { Told: value, Named: value, Silent: value } }]]);

    const [signal, ...more] = signalsBetween(interfaces, state('x'), state('y'));

    assert.deepEqual(more, []);
    assert.deepEqual(JSON.parse(JSON.stringify(signal?.body)), [
      'a.b',
      [['Told', { signature: 's', value: 'y' }]],
      ['Named'],
    ]);
  });
});

describe('authorise', () => {
  const ask = async (
    uid: number,
    ownUid: number | undefined,
    polkit: PolkitAnswer,
    member: boolean,
  ): Promise<string> => {
    const asked: string[] = [];
    try {
      await authorise('capture', 'A.B', {
        ...{ uid, ownUid },
        polkit: () => {
          asked.push('polkit');
          return Promise.resolve(polkit);
        },
        isGroupMember: () => {
          asked.push('group');
          return Promise.resolve(member);
        },
      });
      return ['yes', ...asked].join(' ');
    } catch (error) {
      assert.ok(error instanceof ApiError && error.code === 'NotAuthorized');
      return ['no', ...asked].join(' ');
    }
  };

  for (const [title, uid, ownUid, polkit, member, outcome] of [
    ['root may', 0, undefined, 'no', false, 'yes'],
    ["the daemon's user may on his own bus", 7, 7, 'no', false, 'yes'],
    ['another may not', 8, 7, 'absent', false, 'no polkit group'],
    ['a user whose number is unknown may not', NaN, NaN, 'absent', false, 'no polkit group'],
    ['whom polkit allows may', 7, undefined, 'yes', false, 'yes polkit'],
    ['whom polkit refuses may not, member or not', 7, undefined, 'no', true, 'no polkit'],
    ['who would have to type a password may not', 7, undefined, 'needs-password', true, 'no polkit'],
    ['when polkit is silent nobody may', 7, undefined, 'silent', true, 'no polkit'],
    ['a member may where there is no polkit', 7, undefined, 'absent', true, 'yes polkit group'],
  ] as const) {
    it(title, async () => {
      assert.equal(await ask(uid, ownUid, polkit, member), outcome);
    });
  }

  it('finds members by name and by primary group', () => {
    const passwd = 'root:x:0:0::/:\nann:x:7:100::/:\nbob:x:8:9::/:\nbroken\n\nann2:x:7:101::/:';
    const group = 'a:x:1:ann\nxen-audio:x:9:eve,ann2\nbroken';

    assert.ok(isMember(7, 'xen-audio', passwd, group));
    assert.ok(isMember(8, 'xen-audio', passwd, group));
    assert.ok(!isMember(0, 'xen-audio', passwd, group));
    assert.ok(!isMember(70, 'xen-audio', passwd, group));
    assert.ok(!isMember(7, 'xen-audio', passwd, 'xen:x:9:ann'));
    assert.ok(!isMember(8, 'xen-audio', passwd, 'xen-audio'));
    assert.ok(!isMember(NaN, 'xen-audio', passwd, group));
  });
});

describe('Callers', () => {
  const never = (): Promise<never> => new Promise(() => undefined);
  const nothing = (): Promise<void> => Promise.resolve();

  it('keeps the calls of one caller in order while they wait for leave, and no others', async () => {
    const callers = new Callers();
    const done: string[] = [];
    let allow = (): void => undefined;
    const leave = new Promise<void>((resolve) => (allow = resolve));
    const deed = (name: string) => (): Promise<void> => {
      done.push(name);
      return Promise.resolve();
    };

    const all = [
      callers.run('a', 'volume', () => leave, deed('first')),
      callers.run('a', 'volume', nothing, deed('second')),
      callers.run('a', 'route', nothing, deed('elsewhere')),
      callers.run('b', 'volume', nothing, deed('other')),
    ];
    await settle();
    assert.deepEqual(done, ['elsewhere', 'other']);
    allow();
    await Promise.all(all);

    assert.deepEqual(done, ['elsewhere', 'other', 'first', 'second']);
    assert.equal(callers.size, 0);
  });

  it('lets a caller have so many calls and no more, and forgets those that failed', async () => {
    const callers = new Callers();
    for (let count = 1; count < OUTSTANDING_MAX; count += 1) void callers.run('a', 'volume', nothing, never);

    await assert.rejects(
      callers.run('a', 'volume', () => Promise.reject(new Error('no')), never),
      /no/,
    );
    await assert.rejects(
      callers.run('a', 'volume', nothing, () => {
        throw new Error('thrown at once');
      }),
      /thrown at once/,
    );
    void callers.run('a', 'volume', nothing, never);
    await assert.rejects(callers.run('a', 'volume', nothing, nothing), { name: 'DbusError' });
    await callers.run('b', 'volume', nothing, nothing);
  });
});
