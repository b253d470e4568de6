// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { JournalLog } from '../../../controller/adapters/systemd/journal-log.js';
import { Emulator } from '../../emulator/client.js';
import { Host } from '../../host/host.js';
import { DatagramReceiver } from '../../lib/datagram-receiver.js';
import { paths } from '../../lib/paths.js';
import { OwnedProcess, runCommand } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const MAIN = join(paths.root, 'build/js/controller/main.js');
const SERVING = 'serving 0 guests, 0 streams, 0 playing, 0 recording, no sound server';

describe('xen-audiod as a service', () => {
  let directory: string;
  let emulator: Emulator | undefined;
  let daemon: OwnedProcess | undefined;
  let systemd: DatagramReceiver;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    systemd = await DatagramReceiver.start(join(directory, 'notify'));
    const settings = {
      pulse: { server: `unix:${directory}/no-server` },
      stateDir: directory,
      policyFile: join(directory, 'policy.yaml'),
      dbus: 'none',
    };
    await writeFile(join(directory, 'config.yaml'), JSON.stringify(settings)); // JSON is YAML
  });

  afterEach(async () => {
    await daemon?.kill();
    await emulator?.stop();
    await systemd.stop();
    await rm(directory, { recursive: true });
    daemon = undefined;
    emulator = undefined;
  });

  const xenDirectory = (): string => join(directory, 'xen');
  const log = async (): Promise<string> => readFile(join(directory, 'log'), 'utf8');
  const startXen = async (): Promise<void> => {
    emulator = await Emulator.start({ directory: xenDirectory() });
  };

  const startDaemon = (env: NodeJS.ProcessEnv = {}): OwnedProcess => {
    daemon = OwnedProcess.start(
      'xen-audiod',
      process.execPath,
      [MAIN, '--config', join(directory, 'config.yaml')],
      {
        env: {
          ...process.env,
          HOME: directory,
          // Where the emulator puts it, whether it runs yet or not.
          XENSTORED_PATH: join(xenDirectory(), 'domains/dom0/xenstored.sock'),
          ...env,
        },
        logFile: join(directory, 'log'),
      },
    );
    return daemon;
  };

  const startNotifying = (env: NodeJS.ProcessEnv = {}): OwnedProcess =>
    startDaemon({ NOTIFY_SOCKET: systemd.path, ...env });

  const tells = (what: string, count = 1): Promise<unknown> =>
    waitFor(
      `systemd to be told ${what}, ${count} times`,
      () => systemd.texts.filter((text) => text.startsWith(what)).length >= count,
      { detail: async () => `${systemd.texts.join('\n')}\n${await log()}` },
    );

  it('tells systemd when it serves, reads its settings again, and stops', async () => {
    await startXen();
    const running = startNotifying();
    await tells('READY=1');

    running.signal('SIGHUP');
    await tells('READY=1', 2);
    assert.deepEqual(await running.stop(), { code: 0, signal: null });
    await tells('STOPPING=1');

    assert.deepEqual(
      systemd.texts.map((text) => text.replace(/\d+$/, 'N')),
      [`STATUS=${SERVING}`, 'READY=N', 'RELOADING=1\nMONOTONIC_USEC=N', 'READY=N', 'STOPPING=N'],
    );
  });

  it('gives signs of life twice in the time that systemd asks for, and none to a watchdog of another', async () => {
    await startXen();
    startNotifying({ WATCHDOG_USEC: '200000' });
    await tells('WATCHDOG=1');
    const first = systemd.texts.filter((text) => text === 'WATCHDOG=1').length;
    const since = performance.now();
    await tells('WATCHDOG=1', first + 10);
    const passedMs = performance.now() - since;
    assert.ok(passedMs > 800, `10 signs in ${passedMs} ms`);
    await daemon?.stop();

    const before = systemd.texts.length;
    startNotifying({ WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' });
    await tells('READY=1', 2);
    await daemon?.stop();
    assert.ok(!systemd.texts.slice(before).includes('WATCHDOG=1'));
  });

  it('is ready without xenstore, and serves once it is there', async () => {
    startNotifying();
    await tells('READY=1');
    assert.match(systemd.texts[0] ?? '', /^STATUS=waiting for xenstore/);

    await startXen();
    await tells(`STATUS=${SERVING}`);

    assert.equal((await log()).match(/xenstore cannot be opened/g)?.length, 1);
  });

  it('serves again when xenstored has ended and come back, although it had nothing to ask of it', async () => {
    await startXen();
    const running = startNotifying();
    await tells(`STATUS=${SERVING}`);
    const { pid } = running;

    for (const round of [2, 3]) {
      await emulator?.stop();
      await tells('STATUS=waiting for xenstore', round - 1);
      await startXen();
      await tells(`STATUS=${SERVING}`, round);
    }

    assert.equal(running.pid, pid);
    assert.deepEqual(await running.stop(), { code: 0, signal: null });
  }).timeout(30_000);

  it('stops within 5 s, whether xenstored is there or not', async () => {
    await startXen();
    for (const prepare of [() => Promise.resolve(), () => emulator?.stop()]) {
      const running = startNotifying();
      await tells('READY=1');
      await prepare();
      const since = performance.now();
      assert.deepEqual(await running.stop({ timeoutMs: 5000 }), { code: 0, signal: null });
      assert.ok(performance.now() - since < 5000);
      systemd.received.length = 0;
    }
  });

  it('is ready soon, compared with what Node itself takes', async () => {
    await startXen();
    const time = async (work: () => Promise<unknown>): Promise<number> => {
      const since = performance.now();
      await work();
      return performance.now() - since;
    };
    const ratios: number[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      const nodeMs = await time(() => runCommand(process.execPath, ['-e', '0']));
      systemd.received.length = 0;
      const readyMs = await time(async () => {
        startNotifying();
        await tells('READY=1');
      });
      await daemon?.stop();
      ratios.push(readyMs / nodeMs);
    }

    assert.ok(Math.min(...ratios) < 12, `times that of Node: ${ratios.map((r) => r.toFixed(1)).join(', ')}`);
  });
});

describe('xen-audiod with a sound server', () => {
  it('does not wake up while nothing happens', async () => {
    const host = await Host.start();
    try {
      const wakeUps = (): number => {
        const tasks = `/proc/${String(host.controller.pid)}/task`;
        const counts = readdirSync(tasks).map((task) => {
          const status = readFileSync(`${tasks}/${task}/status`, 'utf8');
          return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1]);
        });
        return counts.reduce((sum, count) => sum + count, 0);
      };
      const during = async (ms: number): Promise<number> => {
        const before = wakeUps();
        await delay(ms);
        return wakeUps() - before;
      };
      await waitFor('a second of rest after the start', async () => (await during(1000)) === 0);

      const count = await during(5000);

      assert.ok(count <= 2, `it has woken up ${count} times in 5 s`);
    } finally {
      await host.stop();
    }
  }).timeout(30_000);
});

describe('the log in the journal', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('has fields for the guest and its card', async () => {
    const journal = await DatagramReceiver.start(join(directory, 'journal'));
    try {
      const log = new JournalLog('info', journal.path);
      log.warning('device', 'refused', { guest: 'work', device: '3/0' });
      log.debug('device', 'left out');
      log.info('controller', 'next');
      await waitFor('two entries', () => journal.received.length === 2);

      assert.deepEqual(fieldsOf(journal.received[0]), {
        MESSAGE: 'refused',
        PRIORITY: '4',
        SYSLOG_IDENTIFIER: 'xen-audiod',
        XEN_AUDIO_TOPIC: 'device',
        XEN_GUEST: 'work',
        XEN_DEVICE: '3/0',
      });
    } finally {
      await journal.stop();
    }
  });

  it('is lines on standard error, with their priority, when journald is not there', () => {
    const otherwise = new PassThrough({ encoding: 'utf8' });

    new JournalLog('info', join(directory, 'nothing'), otherwise).error('device', 'a\nb');

    assert.equal(otherwise.read(), '<3>device a b\n');
  });
});

/** Reads the journal's native protocol. */
const fieldsOf = (entry: Buffer | undefined): Record<string, string> => {
  const fields: Record<string, string> = {};
  if (entry === undefined) return fields;
  for (let at = 0; at < entry.length;) {
    const nameEnd = entry.indexOf('\n', at);
    const length = Number(entry.readBigUInt64LE(nameEnd + 1));
    const valueAt = nameEnd + 9;
    fields[entry.toString('utf8', at, nameEnd)] = entry.toString('utf8', valueAt, valueAt + length);
    at = valueAt + length + 1;
  }
  return fields;
};
