// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Emulator } from '../../emulator/client.js';
import { paths } from '../../lib/paths.js';
import { OwnedProcess, runCommand } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const SETTINGS = 'etc/xen-audio/xen-audiod.yaml';

describe('scripts/install', function () {
  this.timeout(60_000);
  let directory: string;
  let root: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    root = join(directory, 'root');
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  /** Runs it with `root` as destination; resolves to the lines it prints. */
  const install = async (...args: string[]): Promise<string[]> => {
    const command = join(paths.root, 'scripts/install');
    const result = await runCommand(command, ['--destdir', root, ...args], { timeoutMs: 50_000 });
    assert.equal(result.code, 0, result.stderr);
    return result.stdout.split('\n').filter((line) => line !== '');
  };

  /** Files and links below `root`. */
  const files = async (): Promise<string[]> => {
    const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  };

  it('says what it installs, the same each time, and removes it without a trace', async () => {
    const planned = await install('--dry-run', '--role', 'both');
    assert.deepEqual(await files(), []);

    const listed = await install('--role', 'both');
    const there = await files();
    assert.deepEqual(listed, planned);
    assert.deepEqual([...listed, join(root, 'usr/lib/xen-audio/manifest')].sort(), there);

    await install('--role', 'both');
    assert.deepEqual(await files(), there);

    await install('--uninstall');
    assert.deepEqual(await readdir(root), []);
  });

  it('installs a daemon that serves from there', async () => {
    await install();
    const program = join(root, 'usr/sbin/xen-audiod');
    assert.match((await runCommand(program, ['--version'])).stdout, /^xen-audiod \d+\.\d+\.\d+\n$/);
    const sample = await runCommand(program, ['--check-config', '--config', join(root, SETTINGS)]);
    assert.deepEqual([sample.code, sample.stderr], [0, '']);

    const config = join(directory, 'config.yaml');
    const settings = { pulse: { server: `unix:${directory}/none` }, stateDir: directory, dbus: 'none' };
    await writeFile(config, JSON.stringify(settings));
    const emulator = await Emulator.start({ directory: join(directory, 'xen') });
    const logFile = join(directory, 'log');
    const env = { ...emulator.environment('dom0'), HOME: directory };
    const daemon = OwnedProcess.start('xen-audiod', program, ['--config', config], { env, logFile });
    try {
      const serves = async (): Promise<boolean> => (await readFile(logFile, 'utf8')).includes('serving vsnd');
      await waitFor('the daemon', serves, { detail: () => daemon.logTail() });
      assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    } finally {
      await daemon.kill();
      await emulator.stop();
    }
  });

  it('gives a guest the modules and no daemon', async () => {
    const listed = await install('--role', 'guest');

    for (const name of ['libxen-audio-front.so', 'module-xen-sink.so', 'module-xen-source.so'])
      assert.ok(listed.some((file) => file.endsWith(`/modules/${name}`)));
    assert.ok(!listed.some((file) => /xen-audiod|backend/.test(file)));
  });

  it('leaves settings that were changed, when it installs anew and when it removes', async () => {
    await install();
    await appendFile(join(root, SETTINGS), '# mine\n');
    const changed = await readFile(join(root, SETTINGS), 'utf8');

    await install();
    assert.equal(await readFile(join(root, SETTINGS), 'utf8'), changed);

    const said = await install('--uninstall');
    assert.deepEqual(await files(), [join(root, SETTINGS)]);
    assert.ok(said.includes(`stays, since it was changed: ${join(root, SETTINGS)}`));
  });

  it('lets the unit start what is at another prefix', async () => {
    await install('--prefix', '/opt/audio');

    const unit = await readFile(join(root, 'opt/audio/lib/systemd/system/xen-audiod.service'), 'utf8');
    assert.match(unit, /^ExecStart=\/opt\/audio\/sbin\/xen-audiod$/m);
    assert.match((await runCommand(join(root, 'opt/audio/sbin/xen-audiod'), ['--version'])).stdout, /\d/);
  });

  for (const [title, args] of [
    ['a role that does not exist', ['--role', 'dom1']],
    ['a prefix that is no path', ['--prefix', 'usr']],
    ['an argument it does not know', ['--force']],
    ['to remove what is not there', ['--uninstall']],
  ] as const) {
    it(`refuses ${title}`, async () => {
      const command = join(paths.root, 'scripts/install');
      const { code, stderr } = await runCommand(command, ['--destdir', root, ...args]);

      assert.equal(code, 1);
      assert.match(stderr, /^error: /);
    });
  }
});
