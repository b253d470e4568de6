// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Emulator } from '../../emulator/client.js';
import { OwnedProcess, runCommand, type CommandResult } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const MAIN = fileURLToPath(new URL('../../../controller/main.js', import.meta.url));

describe('xen-audiod', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CommandResult> =>
    runCommand(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } });

  const configFile = async (text: string): Promise<string> => {
    const path = join(directory, 'config.yaml');
    await writeFile(path, text);
    return path;
  };

  it('explains itself', async () => {
    const help = await run(['--help']);
    assert.deepEqual([help.code, help.stderr], [0, '']);
    assert.match(help.stdout, /^Usage: xen-audiod/);
    assert.match((await run(['--version'])).stdout, /^xen-audiod \d+\.\d+\.\d+\n$/);
  });

  it('refuses arguments it does not know', async () => {
    const result = await run(['--colour']);

    assert.equal(result.code, 2);
    assert.match(result.stderr, /--colour/);
    assert.match(result.stderr, /Try "xen-audiod --help"/);
  });

  it('refuses bad settings with place and expectation', async () => {
    const path = await configFile('handshake:\n  timeoutMs: many\n');

    for (const args of [
      ['--check-config', '--config', path],
      ['--config', path],
    ]) {
      const result = await run(args);
      assert.equal(result.code, 2);
      assert.equal(
        result.stderr,
        `xen-audiod: ${path}:2:3: handshake.timeoutMs: expected a number, found "many"\n`,
      );
    }
  });

  it('accepts good settings and misses a file that is named but absent', async () => {
    assert.equal((await run(['--check-config', '--config', await configFile('logLevel: debug')])).code, 0);
    const missing = await run(['--config', join(directory, 'absent.yaml')]);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /absent\.yaml: cannot be read/);
  });

  it('waits for a xenstore, and for one that went to come back', async () => {
    const xen = join(directory, 'xen');
    const logFile = join(directory, 'log');
    let emulator = await Emulator.start({ directory: xen });
    const env = { ...process.env, ...emulator.environment('dom0'), HOME: directory };
    await emulator.stop();
    const daemon = OwnedProcess.start(
      'xen-audiod',
      process.execPath,
      [MAIN, '--config', await configFile('')],
      {
        env,
        logFile,
      },
    );
    const logs = (what: string, times: number): Promise<unknown> =>
      waitFor(
        `the log to say ${what}`,
        async () => (await readFile(logFile, 'utf8')).split(what).length > times,
      );
    try {
      await logs('xenstore cannot be opened', 1);
      for (const time of [1, 2]) {
        emulator = await Emulator.start({ directory: xen });
        await logs('serving vsnd', time);
        await emulator.stop();
      }
      assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    } finally {
      await daemon.kill();
      await emulator.stop();
    }
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`serves without a sound server until ${signal}, and leaves nothing behind`, async () => {
      const emulator = await Emulator.start({ directory: join(directory, 'xen') });
      const logFile = join(directory, 'log');
      const text = `pulse:\n  server: unix:${join(directory, 'no-server')}\n`;
      const before = await emulator.counts();
      const daemon = OwnedProcess.start(
        'xen-audiod',
        process.execPath,
        [MAIN, '--config', await configFile(text)],
        { env: { ...emulator.environment('dom0'), HOME: directory }, logFile },
      );
      try {
        await waitFor('the daemon', async () => (await readFile(logFile, 'utf8')).includes('serving vsnd'));

        assert.deepEqual(await daemon.stop({ signal }), { code: 0, signal: null });

        const log = await readFile(logFile, 'utf8');
        assert.equal(log.match(/no sound server/g)?.length, 1);
        await waitFor('the connection to go', async () => {
          const { connections, watches } = (await emulator.counts()).domains['dom0'] ?? {};
          return connections === before.domains['dom0']?.connections && watches === 0;
        });
        assert.equal((await emulator.counts()).nodes, before.nodes);
      } finally {
        await daemon.kill();
        await emulator.stop();
      }
    });
  }

  it('reads its settings again on SIGHUP, and keeps those it has when there is a fault', async () => {
    const emulator = await Emulator.start({ directory: join(directory, 'xen') });
    const logFile = join(directory, 'log');
    const server = `pulse:\n  server: unix:${join(directory, 'no-server')}\n`;
    const daemon = OwnedProcess.start(
      'xen-audiod',
      process.execPath,
      [MAIN, '--config', await configFile(server)],
      { env: { ...emulator.environment('dom0'), HOME: directory }, logFile },
    );
    const logs = (what: string): Promise<unknown> =>
      waitFor(`the log to say ${what}`, async () => (await readFile(logFile, 'utf8')).includes(what));
    try {
      await logs('serving vsnd');

      const path = await configFile(`${server}handshake:\n  timeoutMs: soon\n`);
      daemon.signal('SIGHUP');
      await logs(
        `error controller settings left as they are: ${path}:4:3: handshake.timeoutMs: expected a number, found "soon"`,
      );
      await configFile(`${server}handshake:\n  timeoutMs: 5000\nlogLevel: warning\n`);
      daemon.signal('SIGHUP');
      await logs(
        'warning controller handshake.timeoutMs has changed: it takes effect when xen-audiod is started again',
      );

      assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    } finally {
      await daemon.kill();
      await emulator.stop();
    }
  });

  it('ends when it is told to although xenstore has died under it', async () => {
    const emulator = await Emulator.start({ directory: join(directory, 'xen') });
    const logFile = join(directory, 'log');
    const daemon = OwnedProcess.start(
      'xen-audiod',
      process.execPath,
      [MAIN, '--config', await configFile('')],
      {
        env: {
          ...emulator.environment('dom0'),
          HOME: directory,
          PULSE_SERVER: `unix:${directory}/no-server`,
        },
        logFile,
      },
    );
    try {
      await waitFor('the daemon', async () => (await readFile(logFile, 'utf8')).includes('serving vsnd'));
      await emulator.stop();

      const { signal } = await daemon.stop({ signal: 'SIGTERM' });

      assert.equal(signal, null);
    } finally {
      await daemon.kill();
      await emulator.stop();
    }
  });
});
