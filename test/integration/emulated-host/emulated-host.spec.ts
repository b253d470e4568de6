// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { Host, MIC_FEED, SPEAKERS } from '../../host/host.js';
import { HostDescription } from '../../emulated-host/description.js';
import { makeTestFolder, removeFolder } from '../../host/folder.js';
import { paths } from '../../lib/paths.js';
import { runCommand, type CommandResult } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

describe('Host', function () {
  this.timeout(60_000);
  let host: Host | undefined;

  afterEach(async () => {
    await host?.stop();
    host = undefined;
  });

  it('gives dom0 loudspeakers, a microphone feed and a controller that serves', async () => {
    host = await Host.start({ nullSinkArgs: 'rate=48000' });

    const sinks = await host.client.list('sinks');
    assert.deepEqual(sinks.map((sink) => sink.name).sort(), [MIC_FEED, SPEAKERS]);
    assert.match((await host.client.sink(SPEAKERS)).sample_specification, /48000Hz/);
    assert.equal(host.controller.running, true);
  });

  it('adds and removes guests, and leaves nothing of them', async () => {
    host = await Host.start();
    const before = await host.counts();

    const guest = await host.addGuest({ name: 'work' });
    assert.equal(await host.xen.store.tryRead(`/local/domain/${guest.domain.domid}/name`), 'work');
    assert.equal(await host.xen.store.tryRead('/local/domain/0/backend/vsnd/1/0/state'), '2');
    await host.removeGuest(guest);

    assert.deepEqual(host.guests, []);
    assert.equal(await host.xen.store.tryRead('/local/domain/0/backend/vsnd/1/0'), undefined);
    assert.deepEqual(Object.keys((await host.counts()).domains), Object.keys(before.domains));
  });

  it('runs the controller again after a crash', async () => {
    host = await Host.start();
    const first = host.controller.pid;
    await host.killController();
    await host.startController();
    assert.equal(host.controller.running, true);
    assert.notEqual(host.controller.pid, first);
  });

  it('removes all it started when the start fails', async () => {
    const dir = join(makeTestFolder(), 'host');
    await assert.rejects(
      Host.start({ dir, nullSinkArgs: 'rate=nonsense' }),
      /dom0's PulseAudio did not load: .*rate=nonsense/,
    );
    assert.equal(existsSync(dir), false);
    removeFolder(join(dir, '..'));
  });
});

describe('scripts/emulated-host', function () {
  this.timeout(90_000);
  const program = join(paths.root, 'build/js/test/emulated-host/main.js');
  const run = async (...args: string[]): Promise<CommandResult> =>
    runCommand(process.execPath, [program, ...args], { timeoutMs: 60_000 });
  let parent = '';

  beforeEach(() => {
    parent = makeTestFolder();
  });

  afterEach(async () => {
    await run('down', '--dir', join(parent, 'host'));
    removeFolder(parent);
  });

  it('prints one JSON object, tells the status, and ends everything on down', async () => {
    const dir = join(parent, 'host');

    const up = await run('up', '--guests', '0', '--dir', dir);
    assert.equal(up.code, 0, up.stderr);
    const host = HostDescription.parse(JSON.parse(up.stdout));
    assert.equal(host.dir, dir);

    const status = await run('status', '--dir', dir);
    assert.equal(status.code, 0, status.stdout);

    const down = await run('down', '--dir', dir);
    assert.equal(down.code, 0, down.stderr);
    assert.equal(existsSync(dir), false);
  });

  it('leaves no process behind when its supervisor is killed', async () => {
    const dir = join(parent, 'host');
    const up = await run('up', '--guests', '0', '--dir', dir);
    const host = HostDescription.parse(JSON.parse(up.stdout));
    process.kill(host.supervisor?.pid ?? 0, 'SIGKILL');

    const status = await run('status', '--dir', dir);
    assert.equal(status.code, 1);
    assert.match(status.stdout, /DOWN {2}supervisor/);

    for (const pid of [host.dom0.pids.pulse, host.dom0.pids.controller]) {
      await waitFor(`process ${pid ?? 0} to end`, () => !existsSync(`/proc/${pid ?? 0}/exe`));
    }
    assert.equal((await run('down', '--dir', dir)).code, 0);
    assert.equal(existsSync(dir), false);
  });

  it('says what is wrong with its arguments', async () => {
    const up = await run('up', '--guests', 'many', '--dir', join(parent, 'host'));
    assert.equal(up.code, 1);
    assert.match(up.stderr, /--guests many: expected a number from 0 to 64/);
  });

  it('refuses a folder that is in use', async () => {
    const up = await run('up', '--dir', parent);
    assert.equal(up.code, 1);
    assert.match(up.stderr, /exists: end its host with 'scripts\/emulated-host down'/);
  });
});
