// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BusConnection } from '../../../controller/adapters/dbus/bus-connection.js';
import { DbusError } from '../../../controller/adapters/dbus/errors.js';
import type { IncomingMessage } from '../../../controller/adapters/dbus/wire/message.js';
import type { DBusValue } from '../../../controller/adapters/dbus/wire/signature.js';
import { waitFor, within } from '../../lib/wait.js';
import {
  BECOME_STRANGER,
  DbusBench,
  FIRST,
  FIRST_PATH,
  GUEST,
  MANAGER,
  NAME,
  PROPERTIES,
  ROOT,
  run,
  short,
  STRANGER_UID,
} from './dbus-support.js';

/** Calls that do more than read: object, method, arguments of gdbus, polkit's action. */
const DEEDS = [
  [ROOT, `${MANAGER}.Attach`, ["'guest1'", "'kernel'"], 'manage'],
  [ROOT, `${MANAGER}.Detach`, ["'guest1'", 'uint32 0'], 'manage'],
  [ROOT, `${MANAGER}.PrepareSuspend`, ["'guest1'"], 'manage'],
  [ROOT, `${MANAGER}.FinishSuspend`, ["'guest1'"], 'manage'],
  [ROOT, `${MANAGER}.Reload`, [], 'manage'],
  [ROOT, `${MANAGER}.StartLevels`, [], 'volume'],
  [FIRST_PATH, `${PROPERTIES}.Set`, [`'${GUEST}'`, "'Volume'", '<0.5>'], 'volume'],
  [FIRST_PATH, `${PROPERTIES}.Set`, [`'${GUEST}'`, "'Mute'", '<true>'], 'volume'],
  [FIRST_PATH, `${GUEST}.AllowCaptureOnce`, [], 'capture'],
  [FIRST_PATH, `${GUEST}.AllowCaptureFor`, ['uint32 60'], 'capture'],
  [FIRST_PATH, `${GUEST}.AllowCaptureAlways`, [], 'capture'],
  [FIRST_PATH, `${GUEST}.DenyCapture`, [], 'capture'],
  [FIRST_PATH, `${GUEST}.SetRoute`, ["'playback'", "''"], 'route'],
] as const;

const READS = [
  [FIRST_PATH, 'org.freedesktop.DBus.Introspectable.Introspect', []],
  [FIRST_PATH, `${PROPERTIES}.Get`, [`'${GUEST}'`, "'Name'"]],
  [FIRST_PATH, `${PROPERTIES}.GetAll`, [`'${GUEST}'`]],
  [ROOT, 'org.freedesktop.DBus.ObjectManager.GetManagedObjects', []],
  [ROOT, `${MANAGER}.GetGuest`, ["'guest1'"]],
  [ROOT, `${MANAGER}.ExplainPolicy`, ["'guest1'"]],
] as const;

const POLKIT = 'org.freedesktop.PolicyKit1';

/** A polkit that answers as told: `answer` gets the question's flags and may never resolve. */
class FakePolkit {
  readonly questions: string[] = [];
  readonly cancelled: string[] = [];
  answer: (flags: number) => Promise<readonly [boolean, boolean]> = () => Promise.resolve([true, false]);
  #bus: BusConnection | undefined;

  async start(bench: DbusBench): Promise<void> {
    this.#bus = await bench.client({ call: (message) => void this.#call(message) });
    await this.#bus.callBus('RequestName', 'su', POLKIT, 0);
  }

  async stop(): Promise<void> {
    await this.#bus?.close();
  }

  async #call(message: IncomingMessage): Promise<void> {
    const values = message.body();
    if (message.member === 'CancelCheckAuthorization') {
      this.cancelled.push(JSON.stringify(values[0]));
      return;
    }
    const [subject, action, , flags, id] = values;
    this.questions.push(JSON.stringify([subject, action, flags, id]));
    const reply = { destination: message.sender ?? '', replySerial: message.serial };
    try {
      const [authorized, challenge] = await this.answer(Number(flags));
      const body: DBusValue[] = [[authorized, challenge, []]];
      this.#bus?.send({ ...reply, type: 'return', signature: '(bba{ss})', body });
    } catch {
      const errorName = `${POLKIT}.Error.Failed`;
      this.#bus?.send({ ...reply, type: 'error', errorName, signature: 's', body: ['not registered'] });
    }
  }
}

describe('who may do what on D-Bus', () => {
  let bench: DbusBench;

  const start = async (access: ConstructorParameters<typeof DbusBench>[0]): Promise<void> => {
    bench = new DbusBench({ ownUid: undefined, ...access });
    await bench.start();
  };

  afterEach(() => bench.stop());

  it('everybody may read', async () => {
    await start({});

    for (const [path, method, values] of READS) {
      assert.equal((await bench.asStranger(path, method, ...values)).error, undefined, method);
    }
  });

  it('a stranger may do nothing else, and is told how he could', async () => {
    await start({});

    for (const [path, method, values] of DEEDS) {
      const outcome = await bench.asStranger(path, method, ...values);
      assert.equal(outcome.error, `${NAME}.Error.NotAuthorized`, method);
      assert.match(outcome.message ?? '', new RegExp(`user ${STRANGER_UID} may not call ${method}.*adduser`));
    }
    assert.deepEqual(bench.api.calls, []);
  });

  it("the daemon's own user may, where that is a user's bus", async () => {
    await start({ ownUid: STRANGER_UID });

    for (const [path, method, values] of DEEDS) {
      assert.equal((await bench.asStranger(path, method, ...values)).error, undefined, method);
    }
  });

  for (const [title, passwd, group, error] of [
    ['a member of the group xen-audio may', 'some:x:UID:7::/:', 'xen-audio:x:9:a,some', undefined],
    ['so may one whose primary group it is', 'some:x:UID:9::/:', 'xen-audio:x:9:', undefined],
    ['a member of another group may not', 'some:x:UID:7::/:', 'audio:x:9:some', 'Error.NotAuthorized'],
  ] as const) {
    it(title, async () => {
      const directory = await mkdtemp(join(tmpdir(), 'xen-audio-accounts-'));
      const accounts = { passwd: join(directory, 'passwd'), group: join(directory, 'group') };
      await writeFile(accounts.passwd, passwd.replace('UID', String(STRANGER_UID)));
      await writeFile(accounts.group, group);
      await start({ accounts });

      const outcome = await bench.asStranger(FIRST_PATH, `${GUEST}.DenyCapture`);

      assert.equal(outcome.error === undefined ? undefined : short(outcome), error);
      await rm(directory, { recursive: true });
    });
  }

  it('nobody may when the account files cannot be read', async () => {
    await start({ accounts: { passwd: '/nonexistent/passwd', group: '/nonexistent/group' } });

    assert.equal(short(await bench.asStranger(FIRST_PATH, `${GUEST}.DenyCapture`)), 'Error.Failed');
    assert.deepEqual(bench.api.calls, []);
  });

  describe('where polkit runs', () => {
    let polkit: FakePolkit;

    beforeEach(async () => {
      polkit = new FakePolkit();
      await start({ polkit: true, polkitLimits: { silentMs: 3_000, interactiveMs: 5_000 } });
      await polkit.start(bench);
    });

    afterEach(() => polkit.stop());

    const deny = (): ReturnType<DbusBench['asStranger']> =>
      bench.asStranger(FIRST_PATH, `${GUEST}.DenyCapture`);

    it('it is asked about the caller and the action of each call', async () => {
      for (const [path, method, values, action] of DEEDS) {
        assert.equal((await bench.asStranger(path, method, ...values)).error, undefined, method);
        const question = polkit.questions.at(-1) ?? '';
        assert.match(question, new RegExp(`"${NAME}\\.${action}",0,`));
        assert.match(question, /^\[\["system-bus-name",\[\["name",\{"signature":"s","value":":1\.\d+"/);
      }
      assert.equal(polkit.questions.length, DEEDS.length);
    });

    it('it may let a human type a password when the caller says so', async () => {
      polkit.answer = (flags) => Promise.resolve([flags === 1, true]);

      const plain = await deny();
      const asking = await run([
        ...BECOME_STRANGER,
        ...['busctl', `--address=${bench.bus.address}`, 'call', NAME, FIRST_PATH, GUEST, 'DenyCapture'],
      ]);

      assert.match(plain.message ?? '', /wants a password .*ALLOW_INTERACTIVE_AUTHORIZATION/);
      assert.equal(asking.code, 0, asking.stderr);
    });

    it('its no is final, for members of the group as well', async () => {
      polkit.answer = () => Promise.resolve([false, false]);

      const outcome = await deny();

      assert.equal(short(outcome), 'Error.NotAuthorized');
      assert.match(outcome.message ?? '', /polkit refuses org\.xenproject\.Audio1\.capture/);
      assert.deepEqual(bench.api.calls, []);
    });

    it('its failure is a no', async () => {
      polkit.answer = () => Promise.reject(new Error('no such action'));

      const outcome = await deny();

      assert.equal(short(outcome), 'Error.NotAuthorized');
      assert.match(outcome.message ?? '', /org\.xenproject\.Audio1\.policy is installed/);
    });

    it('its silence is a no, the question is called off, and nobody else waits', async () => {
      let asked = (): void => undefined;
      const question = new Promise<void>((resolve) => (asked = resolve));
      polkit.answer = () => {
        asked();
        return polkit.questions.length === 1 ? new Promise(() => undefined) : Promise.resolve([true, false]);
      };

      const waiting = deny();
      await within('the question', 5_000, question);
      assert.equal(await bench.call(FIRST_PATH, `${GUEST}.AllowCaptureOnce`), undefined);
      const outcome = await waiting;

      assert.equal(short(outcome), 'Error.NotAuthorized');
      assert.deepEqual(bench.api.calls, [`allowCaptureOnce(["${FIRST.id}"])`]);
      await waitFor('the cancellation', () => polkit.cancelled.length === 1);
    });

    it('who answers in its place is not heard', async () => {
      polkit.answer = () => new Promise(() => undefined);
      const liar = await bench.client();
      const serviceName = await liar.askBus('GetNameOwner', 's', NAME);

      const waiting = deny();
      await waitFor('the question', () => polkit.questions.length === 1);
      for (let replySerial = 1; replySerial < 200; replySerial += 1) {
        const reply = { type: 'return', destination: serviceName, replySerial } as const;
        liar.send({ ...reply, signature: '(bba{ss})', body: [[true, false, []]] });
      }

      assert.equal(short(await waiting), 'Error.NotAuthorized');
      assert.deepEqual(bench.api.calls, []);
      await liar.close();
    });

    it('where it does not, the group decides', async () => {
      await polkit.stop();

      const outcome = await deny();

      assert.match(outcome.message ?? '', /adduser/);
    });
  });

  describe('levels', () => {
    const levels = async (client: BusConnection, member: string): Promise<void> => {
      const destination = await client.askBus('GetNameOwner', 's', NAME);
      await client.call({ destination, path: ROOT, interface: MANAGER, member });
    };
    const shown = (): string[] => bench.api.calls.filter((call) => call.startsWith('showLevels'));

    beforeEach(() => start({ ownUid: process.geteuid?.() }));

    it('are shown from the first StartLevels to the last StopLevels, counted for each caller', async () => {
      const [one, two] = await Promise.all([bench.client(), bench.client()]);
      await levels(one, 'StartLevels');
      await levels(one, 'StartLevels');
      await levels(two, 'StartLevels');
      await levels(one, 'StopLevels');
      await levels(one, 'StopLevels');
      await assert.rejects(levels(one, 'StopLevels'), (error) => error instanceof DbusError);
      assert.deepEqual(shown(), ['showLevels([true])']);

      await levels(two, 'StopLevels');

      assert.deepEqual(shown(), ['showLevels([true])', 'showLevels([false])']);
      await Promise.all([one.close(), two.close()]);
    });

    it('end when the last caller leaves the bus, and start again', async () => {
      const client = await bench.client();
      await levels(client, 'StartLevels');
      await levels(client, 'StartLevels');

      await client.close();
      await waitFor('the end', () => shown().length === 2);
      await bench.call(ROOT, `${MANAGER}.StartLevels`);

      await waitFor('the end of a caller that left at once', () => shown().length === 4);
      assert.deepEqual(
        shown(),
        [true, false, true, false].map((wanted) => `showLevels([${String(wanted)}])`),
      );
    });

    it('that cannot be shown are an error, and not counted', async () => {
      const client = await bench.client();
      bench.api.hold = () => Promise.reject(new Error('no xenstore'));
      await assert.rejects(levels(client, 'StartLevels'), /no xenstore/);
      bench.api.hold = () => Promise.resolve();

      await assert.rejects(levels(client, 'StopLevels'), /StopLevels without StartLevels/);
      await client.close();
    });

    it('end with the bus', async () => {
      const client = await bench.client();
      await levels(client, 'StartLevels');

      await bench.bus.kill();

      await waitFor('the end', () => shown().length === 2);
    });
  });
});
