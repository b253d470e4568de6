// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  PulseAdapter,
  type PulseAdapterOptions,
} from '../../../../controller/adapters/pulse/pulse-adapter.js';
import { SystemClock } from '../../../../controller/adapters/system/system-clock.js';
import { formatModargs } from '../../../../controller/sndif/modargs.js';
import { hasCode } from '../../../../controller/util/errors.js';
import { FakeLog } from '../../../lib/fake-ports.js';
import { OwnedProcess } from '../../../lib/process.js';
import { waitFor } from '../../../lib/wait.js';

const TIMEOUT_MS = 2000;
/** Longer than a test may take. */
const NEVER_MS = 1_000_000;

/** Takes one connection, and closes it when something has come that it does not read: the peer sees an error, not an end. */
const DEAF_SERVER = `
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + '.new')
listener.listen()
os.rename(sys.argv[1] + '.new', sys.argv[1])
peer, _ = listener.accept()
peer.recv(1, socket.MSG_PEEK)
listener.close()
peer.close()
`;

/** Starts a sound server of its own in `directory`, and waits until it takes connections. */
const startServer = (directory: string): OwnedProcess =>
  OwnedProcess.start(
    'pulseaudio',
    'pulseaudio',
    [
      ...['-n', '--daemonize=no', '--exit-idle-time=-1', '--use-pid-file=no', '--disable-shm=yes'],
      `--load=module-native-protocol-unix socket=${join(directory, 'native')} auth-anonymous=1`,
    ],
    {
      env: { ...process.env, HOME: directory, XDG_RUNTIME_DIR: directory, DBUS_SESSION_BUS_ADDRESS: 'none:' },
      logFile: join(directory, 'log'),
    },
  );

describe('the PulseAudio adapter', () => {
  let directory: string;
  let server: OwnedProcess | undefined;
  let adapter: PulseAdapter;
  let log: FakeLog;
  let changes: number;
  const variables = ['PULSE_SERVER', 'HOME'] as const;
  const saved = variables.map((name) => [name, process.env[name]] as const);

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xen-audio-pulse-'));
    process.env['HOME'] = directory;
    log = new FakeLog();
    changes = 0;
    adapter = new PulseAdapter(options(), new SystemClock(), log);
    adapter.onChange(() => {
      changes += 1;
    });
  });

  afterEach(async () => {
    await adapter.stop();
    await server?.stop();
    server = undefined;
    await rm(directory, { recursive: true });
    for (const [name, value] of saved) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  });

  const options = (): PulseAdapterOptions => ({
    server: `unix:${join(directory, 'native')}`,
    timeoutMs: TIMEOUT_MS,
  });

  const connect = async (): Promise<void> => {
    const socket = join(directory, 'native');
    await rm(socket, { force: true });
    server = startServer(directory);
    await waitFor("the server's socket", () => existsSync(socket), { detail: () => server?.logTail() ?? '' });
    await adapter.start();
    await waitFor('the connection', () => adapter.isUp, { detail: () => server?.logTail() ?? '' });
  };

  it('connects by itself once the server is there, and says once that it was not', async () => {
    await adapter.start();
    assert.equal(adapter.isUp, false);
    await assert.rejects(adapter.modules(), (error) => hasCode(error, 'pulse-down'));

    await connect();

    assert.equal(log.matching(/^warning pulse no sound server/).length, 1);
    assert.equal(log.matching(/^info pulse connected/).length, 1);
    assert.equal(changes, 2);
  });

  it('loads a module, lists it with its arguments, and unloads it', async () => {
    await connect();
    const argument = formatModargs({
      sink_name: 'one',
      sink_properties: `device.description='a "b" \\\\ c'`,
    });

    const module = await adapter.loadModule('module-null-sink', argument);

    assert.equal(module.argument, argument);
    assert.ok((await adapter.modules()).some((other) => other.index === module.index));
    await adapter.unloadModule(module);
    assert.ok(!(await adapter.modules()).some((other) => other.index === module.index));
  });

  it('does not unload another module that has got the index of one that is gone', async () => {
    await connect();
    const module = await adapter.loadModule('module-null-sink', formatModargs({ sink_name: 'one' }));

    await adapter.unloadModule({ ...module, argument: formatModargs({ sink_name: 'other' }) });

    assert.ok((await adapter.modules()).some((other) => other.index === module.index));
  });

  for (const [title, name, argument] of [
    ['a module that does not exist', 'module-that-is-not-there', ''],
    ['arguments that a module does not know', 'module-null-sink', 'nonsense="1"'],
    ['a path instead of a name', '/etc/passwd', ''],
  ] as const) {
    it(`refuses ${title} and stays connected`, async () => {
      await connect();

      await assert.rejects(adapter.loadModule(name, argument), (error) => hasCode(error, 'pulse-refused'));

      assert.ok((await adapter.modules()).length > 0);
      assert.equal(adapter.isUp, true);
    });
  }

  it('notices a killed server, fails calls at once, and finds the next one with nothing loaded', async () => {
    await connect();
    await adapter.loadModule('module-null-sink', formatModargs({ sink_name: 'one' }));

    await server?.kill();
    await waitFor('the loss', () => log.matching(/^warning pulse/).length === 1);
    await assert.rejects(adapter.modules(), (error) => hasCode(error, 'pulse-down'));
    assert.equal(changes, 2);

    await connect();
    await waitFor('the change', () => changes === 3);
    assert.ok(!(await adapter.modules()).some((module) => module.name === 'module-null-sink'));
  });

  it('tries again at once when a server goes that has not read what it was sent', async () => {
    const script = join(directory, 'deaf.py');
    await writeFile(script, DEAF_SERVER);
    const deaf = OwnedProcess.start('deaf', 'python3', [script, join(directory, 'native')], {
      logFile: join(directory, 'deaf.log'),
    });
    await waitFor('its socket', () => existsSync(join(directory, 'native')), {
      detail: () => deaf.logTail(),
    });
    adapter = new PulseAdapter({ ...options(), timeoutMs: NEVER_MS }, new SystemClock(), log);

    await adapter.start();

    await waitFor('it to be said down', () => log.matching(/^warning pulse/).length === 1);
    await deaf.stop();
  });

  it('waits no longer for an answer than the server lives', async () => {
    adapter = new PulseAdapter({ ...options(), timeoutMs: NEVER_MS }, new SystemClock(), log);
    await connect();
    server?.signal('SIGSTOP'); // so that the call is under way when the server dies

    const call = adapter.modules();
    await server?.kill();

    await assert.rejects(call, (error) => hasCode(error, 'pulse-down'));
  });

  it('gives up on a server that hangs within its time limit, and is back when the server is', async () => {
    await connect();
    const module = await adapter.loadModule('module-null-sink', formatModargs({ sink_name: 'one' }));

    server?.signal('SIGSTOP');
    await assert.rejects(adapter.modules(), (error) => hasCode(error, 'pulse-down'));
    server?.signal('SIGCONT');

    await waitFor('the new connection', () => adapter.isUp);
    assert.ok((await adapter.modules()).some((other) => other.index === module.index));
  });

  it('finds a server by its socket, however long it has been away, in a folder that was not there', async () => {
    let waitsForEver = 0;
    /** Only what is as short as the pauses of the beginning ever ends. */
    class ImpatientClock extends SystemClock {
      override after(delayMs: number, listener: () => void): () => void {
        if (delayMs <= 100) return super.after(delayMs, listener);
        waitsForEver += 1;
        return () => undefined;
      }
    }
    const folder = join(directory, 'later', 'pulse');
    const options = { server: `unix:${join(folder, 'native')}`, timeoutMs: TIMEOUT_MS };
    adapter = new PulseAdapter(options, new ImpatientClock(), log);
    await adapter.start();
    await waitFor('it to be said down', () => log.lines.length === 1);

    await waitFor('it to have nothing left but to watch', () => waitsForEver === 1);
    await mkdir(folder, { recursive: true });
    await waitFor('it to watch the new folder', () => waitsForEver === 2);
    server = startServer(folder);

    await waitFor('the connection', () => adapter.isUp, { detail: () => server?.logTail() ?? '' });
  });

  it('stops while no server answers', async () => {
    await adapter.start();

    await adapter.stop();

    assert.equal(adapter.isUp, false);
  });
});
