// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError, type ApiErrorCode } from '../../../controller/api/audio-api.js';
import { parseInterfaces } from '../../../controller/adapters/dbus/introspection.js';
import { aGuest, aManager } from '../../lib/fake-api.js';
import { paths } from '../../lib/paths.js';
import {
  DbusBench,
  FIRST,
  FIRST_PATH,
  GUEST,
  MANAGER,
  NAME,
  PROPERTIES,
  ROOT,
  run,
  STREAM,
  STREAM_PATH,
} from './dbus-support.js';

const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';
const INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable';

const EVERY_CODE: Readonly<Record<ApiErrorCode, true>> = {
  AlreadyAttached: true,
  AmbiguousGuest: true,
  Failed: true,
  InvalidArgument: true,
  NoSuchDevice: true,
  NoSuchGuest: true,
  NoSuchSink: true,
  NoSuchSource: true,
  NotAuthorized: true,
  OutOfRange: true,
  PolicyDenied: true,
  PolicyInvalid: true,
  SoundServerDown: true,
  Timeout: true,
  XenstoreDown: true,
};
const CODES = Object.keys(EVERY_CODE) as ApiErrorCode[];

/** Types and values of properties, as busctl shows them. */
type Shown = Readonly<Record<string, readonly [string, unknown]>>;

/** Object, interface, and what busctl shows of the properties. */
const OBJECTS: readonly (readonly [string, string, Shown])[] = [
  [
    ROOT,
    MANAGER,
    {
      Version: ['s', '1.2.3'],
      OwnDomain: ['u', 0],
      XenstoreUp: ['b', true],
      SoundServerUp: ['b', true],
      PolicyFile: ['s', '/etc/xen-audio/policy.yaml'],
      PolicyError: ['s', ''],
    },
  ],
  [
    FIRST_PATH,
    GUEST,
    {
      Uuid: ['s', '00000001-1111-2222-3333-444444444444'],
      Name: ['s', 'guest1'],
      Domid: ['u', 1],
      State: ['s', 'connected'],
      PlaybackAllowed: ['b', true],
      PlaybackActive: ['b', false],
      CaptureRequested: ['b', false],
      CaptureAllowed: ['b', false],
      CaptureActive: ['b', false],
      CapturePolicy: ['s', 'ask'],
      CaptureAllowedUntil: ['t', 0],
      CaptureDeadline: ['t', 0],
      Volume: ['d', 1],
      VolumeCap: ['d', 1],
      Mute: ['b', false],
      Sink: ['s', ''],
      Source: ['s', ''],
      LatencyUsec: ['t', 0],
    },
  ],
  [
    STREAM_PATH,
    STREAM,
    {
      Guest: ['o', FIRST_PATH],
      Device: ['s', 'vsnd-0/0/0'],
      Direction: ['s', 'playback'],
      State: ['s', 'playing'],
      Format: ['s', 's16_le'],
      Rate: ['u', 48_000],
      Channels: ['u', 2],
      PositionFrames: ['t', 123_456_789_012],
      Underruns: ['t', 1],
      Overruns: ['t', 0],
      LateBytes: ['t', 2],
      LatencyUsec: ['t', 20_000],
      Level: ['d', 0.5],
    },
  ],
];

const shown = (properties: Shown): unknown =>
  Object.fromEntries(Object.entries(properties).map(([name, [type, data]]) => [name, { type, data }]));

describe('the D-Bus service', () => {
  let bench: DbusBench;

  before(async () => {
    bench = new DbusBench();
    await bench.start();
  });

  after(() => bench.stop());

  beforeEach(async () => {
    bench.api.managerState = aManager();
    bench.api.guestStates = [FIRST];
    bench.api.changed();
    // Whatever that changes has been signalled when a call is answered.
    await bench.call(ROOT, 'org.freedesktop.DBus.Peer.Ping');
    bench.api.calls.length = 0;
    bench.api.hold = () => Promise.resolve();
  });

  describe('introspection', () => {
    for (const [path, name] of OBJECTS) {
      it(`of ${name} is the file in packaging/dbus`, async () => {
        const [answer] = (await bench.call(path, `${INTROSPECTABLE}.Introspect`)) as [string];
        const file = await readFile(join(paths.root, 'packaging', 'dbus', `${name}.xml`), 'utf8');

        const served = parseInterfaces(answer).find((description) => description.name === name);
        assert.deepEqual(served, parseInterfaces(file)[0]);
        assert.ok(file.includes(served?.xml ?? 'nothing'));
      });
    }

    it('names the objects below, down from the root', async () => {
      const childrenAt = async (path: string): Promise<string[]> => {
        const [answer] = (await bench.call(path, `${INTROSPECTABLE}.Introspect`)) as [string];
        return [...answer.matchAll(/<node name="([^"]*)"/g)].map(([, name = '']) => name);
      };

      assert.deepEqual(await childrenAt('/'), ['org']);
      assert.deepEqual(await childrenAt(ROOT), ['guest']);
      assert.deepEqual(await childrenAt(`${ROOT}/guest`), [FIRST.id]);
      assert.deepEqual(await childrenAt(FIRST_PATH), ['s0_0_0']);
      assert.deepEqual(await childrenAt(STREAM_PATH), []);
    });

    it('is understood by other implementations of D-Bus', async () => {
      const commands = [
        ['gdbus', 'introspect', '--address', bench.bus.address, '--dest', NAME, '--object-path', FIRST_PATH],
        ['busctl', `--address=${bench.bus.address}`, '--no-pager', 'introspect', NAME, FIRST_PATH],
      ];
      for (const command of commands) {
        const { code, stdout, stderr } = await run(command);
        assert.equal(code, 0, stderr);
        assert.match(stdout, /AllowCaptureOnce/);
        assert.match(stdout, /CapturePolicy/);
      }
    });
  });

  describe('reading', () => {
    for (const [path, name, properties] of OBJECTS) {
      it(`gives all properties of ${name}, and each`, async () => {
        assert.deepEqual(await bench.call(path, `${PROPERTIES}.GetAll`, 's', name), [shown(properties)]);
        assert.deepEqual(await bench.call(path, `${PROPERTIES}.GetAll`, 's', ''), [shown(properties)]);
        for (const [property, [type, data]] of Object.entries(properties)) {
          const answer = await bench.call(path, `${PROPERTIES}.Get`, 'ss', name, property);
          assert.deepEqual(answer, [{ type, data }]);
        }
      });
    }

    it('gives all objects at once', async () => {
      const objects = await bench.call(ROOT, `${OBJECT_MANAGER}.GetManagedObjects`);

      const expected = OBJECTS.slice(1).map(([path, name, properties]): [string, unknown] => [
        path,
        { [name]: shown(properties) },
      ]);
      assert.deepEqual(objects, [Object.fromEntries<unknown>(expected)]);
    });

    it('finds a guest by name, UUID and domid', async () => {
      for (const guest of [FIRST.name, FIRST.uuid, '1']) {
        assert.deepEqual(await bench.call(ROOT, `${MANAGER}.GetGuest`, 's', guest), [FIRST_PATH]);
      }
    });

    it('explains the policy', async () => {
      assert.deepEqual(await bench.call(ROOT, `${MANAGER}.ExplainPolicy`, 's', 'guest1'), [
        [['capture', 'ask', 'rule 2']],
      ]);
    });

    it('answers Peer', async () => {
      assert.equal(await bench.call(FIRST_PATH, 'org.freedesktop.DBus.Peer.Ping'), undefined);
      const [id] = (await bench.call(FIRST_PATH, 'org.freedesktop.DBus.Peer.GetMachineId')) as [string];
      assert.match(id, /^[0-9a-f]{32}$/);
    });

    it('shows what a guest put into its name without being cut off by the bus', async () => {
      bench.api.guestStates = [{ ...FIRST, name: 'a\0b\ud800"<>\u202e' }];
      bench.api.changed();

      const [name] = (await bench.call(FIRST_PATH, `${PROPERTIES}.Get`, 'ss', GUEST, 'Name')) as [
        { data: string },
      ];

      assert.equal(name.data, 'a\ufffdb\ufffd"<>\u202e');
    });
  });

  describe('commands', () => {
    const id = FIRST.id;
    for (const [path, method, values, answer, call] of [
      [ROOT, `${MANAGER}.Attach`, ['ss', 'guest1', 'modules'], [[0, 1]], 'attach(["guest1","modules"])'],
      [ROOT, `${MANAGER}.Attach`, ['ss', 'guest1', 'kernel'], [[0]], 'attach(["guest1","kernel"])'],
      [ROOT, `${MANAGER}.Detach`, ['su', 'guest1', '7'], undefined, 'detach(["guest1",7])'],
      [ROOT, `${MANAGER}.PrepareSuspend`, ['s', 'guest1'], undefined, 'prepareSuspend(["guest1"])'],
      [ROOT, `${MANAGER}.FinishSuspend`, ['s', 'guest1'], undefined, 'finishSuspend(["guest1"])'],
      [ROOT, `${MANAGER}.Reload`, [], undefined, 'reload([])'],
      [FIRST_PATH, `${GUEST}.AllowCaptureOnce`, [], undefined, `allowCaptureOnce(["${id}"])`],
      [FIRST_PATH, `${GUEST}.AllowCaptureFor`, ['u', '86400'], undefined, `allowCaptureFor(["${id}",86400])`],
      [FIRST_PATH, `${GUEST}.AllowCaptureAlways`, [], undefined, `allowCaptureAlways(["${id}"])`],
      [FIRST_PATH, `${GUEST}.DenyCapture`, [], undefined, `denyCapture(["${id}"])`],
      [
        FIRST_PATH,
        `${GUEST}.SetRoute`,
        ['ss', 'capture', 'mic'],
        undefined,
        `setRoute(["${id}","capture","mic"])`,
      ],
      [
        FIRST_PATH,
        `${PROPERTIES}.Set`,
        ['ssv', GUEST, 'Volume', 'd', '0.25'],
        undefined,
        `setVolume(["${id}",16384])`,
      ],
      [
        FIRST_PATH,
        `${PROPERTIES}.Set`,
        ['ssv', GUEST, 'Mute', 'b', 'true'],
        undefined,
        `setMute(["${id}",true])`,
      ],
    ] as const) {
      it(`${method.split('.').at(-1) ?? ''} ${values.slice(1).join(' ')} reaches the API`, async () => {
        assert.deepEqual(await bench.call(path, method, ...values), answer);
        assert.deepEqual(bench.api.calls, [call]);
      });
    }

    it('answers with the error of the API, and with what went wrong otherwise', async () => {
      for (const code of CODES) {
        bench.api.hold = () => Promise.reject(new ApiError(code, 'line 3: no'));
        const outcome = await bench.gdbus(ROOT, `${MANAGER}.Reload`, []);
        assert.equal(outcome.error, `${NAME}.Error.${code}`);
        assert.match(outcome.message ?? '', /line 3: no/);
      }
      bench.api.hold = () => Promise.reject(new TypeError('unforeseen'));
      assert.equal(await bench.refusal(ROOT, `${MANAGER}.Reload`), 'Error.Failed');
      assert.equal(bench.log.matching(/warning dbus Reload .*unforeseen/).length, 1);
    });
  });

  it('answers with an error what cannot be written, and goes on', async () => {
    bench.api.guestStates = [{ ...FIRST, id: 'no path' }];
    bench.api.changed();

    assert.equal(await bench.refusal(ROOT, `${OBJECT_MANAGER}.GetManagedObjects`), 'Error.Failed');
    assert.ok(bench.log.matching(/^error dbus cannot be sent: .*no path" is no object path/).length > 0);
    assert.deepEqual(await bench.call(ROOT, `${PROPERTIES}.Get`, 'ss', MANAGER, 'OwnDomain'), [
      { type: 'u', data: 0 },
    ]);
  });

  describe('refuses', () => {
    const gone = `${ROOT}/guest/u0`;
    for (const [title, path, method, values, error] of [
      ['an object that is not there', gone, `${GUEST}.DenyCapture`, [], 'UnknownObject'],
      ['an interface it has not', FIRST_PATH, `${MANAGER}.Reload`, [], 'UnknownInterface'],
      ['properties between objects', `${ROOT}/guest`, `${PROPERTIES}.GetAll`, ["''"], 'UnknownInterface'],
      ['a method it has not', FIRST_PATH, `${GUEST}.Explode`, [], 'UnknownMethod'],
      ['missing arguments', ROOT, `${MANAGER}.GetGuest`, [], 'InvalidArgs'],
      ['arguments too many', ROOT, `${MANAGER}.Reload`, ['1'], 'InvalidArgs'],
      ['an unknown guest', ROOT, `${MANAGER}.GetGuest`, ["'nobody'"], 'Error.NoSuchGuest'],
      ['0 seconds', FIRST_PATH, `${GUEST}.AllowCaptureFor`, ['uint32 0'], 'Error.OutOfRange'],
      ['a day and a second', FIRST_PATH, `${GUEST}.AllowCaptureFor`, ['uint32 86401'], 'Error.OutOfRange'],
      ['a layout', ROOT, `${MANAGER}.Attach`, ["'guest1'", "'odd'"], 'Error.InvalidArgument'],
      ['a direction', FIRST_PATH, `${GUEST}.SetRoute`, ["'up'", "''"], 'Error.InvalidArgument'],
      ['StopLevels without start', ROOT, `${MANAGER}.StopLevels`, [], 'Error.Failed'],
      ['an unknown property', FIRST_PATH, `${PROPERTIES}.Get`, [`'${GUEST}'`, "'Odd'"], 'UnknownProperty'],
      ['its interface', FIRST_PATH, `${PROPERTIES}.Get`, [`'${MANAGER}'`, "'Mute'"], 'UnknownInterface'],
      ['all of it', FIRST_PATH, `${PROPERTIES}.GetAll`, [`'${MANAGER}'`], 'UnknownInterface'],
    ] as const) {
      it(`${title} with ${error}`, async () => {
        assert.equal(await bench.refusal(path, method, ...values), error);
        assert.deepEqual(bench.api.calls, []);
      });
    }

    for (const [property, value, error] of [
      ['Odd', '<1.0>', 'UnknownProperty'],
      ['Name', "<'x'>", 'PropertyReadOnly'],
      ['VolumeCap', '<2.0>', 'PropertyReadOnly'],
      ['Mute', '<1.0>', 'InvalidArgs'],
      ['Volume', '<true>', 'InvalidArgs'],
      ['Volume', '<<0.5>>', 'InvalidArgs'],
      ['Volume', '<(0.5,)>', 'InvalidArgs'],
      ['Volume', '<-0.001>', 'Error.OutOfRange'],
      ['Volume', '<1.001>', 'Error.OutOfRange'],
      ['Volume', '<1e300>', 'Error.OutOfRange'],
      ['Volume', '<-inf>', 'Error.OutOfRange'],
      ['Volume', '<+inf>', 'Error.OutOfRange'],
      ['Volume', '<-nan>', 'Error.OutOfRange'],
    ] as const) {
      it(`${property} set to ${value} with ${error}`, async () => {
        assert.equal(
          await bench.refusal(FIRST_PATH, `${PROPERTIES}.Set`, `'${GUEST}'`, `'${property}'`, value),
          error,
        );
        assert.deepEqual(bench.api.calls, []);
      });
    }

    it('a name that two guests have with Error.AmbiguousGuest', async () => {
      bench.api.guestStates = [FIRST, aGuest(2, { name: 'guest1' })];
      bench.api.changed();

      assert.equal(await bench.refusal(ROOT, `${MANAGER}.GetGuest`, "'guest1'"), 'Error.AmbiguousGuest');
    });
  });
});
