// SPDX-License-Identifier: LGPL-2.1-or-later
/** How soon xen-audiod is ready, how much memory it has then, and how often it wakes up with nothing to do; see README.md. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Host } from '../test/host/host.js';
import { DatagramReceiver } from '../test/lib/datagram-receiver.js';
import { paths } from '../test/lib/paths.js';
import { OwnedProcess, runCommand } from '../test/lib/process.js';
import { waitFor } from '../test/lib/wait.js';
import { benchmark, numberFrom } from './lib/command.js';

/** V8 collects garbage in the first quarter of a minute of rest, in several threads; nothing comes after that. */
const SETTLE_MS = 20_000;

interface Arguments {
  turns: number;
  idleSeconds: number;
  /** Trees with compiled programs in build/js, the first of them this one. */
  trees: readonly string[];
}

interface Spread {
  min: number;
  median: number;
  max: number;
}

interface Report {
  tree: string;
  /** From the start of the process until systemd is told that it is ready. */
  readyMs: Spread;
  /** The same in times of what Node itself took, just before. */
  readyInNodes: Spread;
  rssKib: number;
  /** Voluntary context switches of all threads. */
  wakeUps: number;
}

/** xen-audiod of a tree on a host, as systemd would start it. */
class Service {
  private constructor(
    readonly process: OwnedProcess,
    readonly readyMs: number,
  ) {}

  static async start(host: Host, systemd: DatagramReceiver, tree: string): Promise<Service> {
    systemd.received.length = 0;
    const since = performance.now();
    const { address } = host.bus;
    const daemon = OwnedProcess.start(
      'xen-audiod',
      process.execPath,
      [join(tree, 'build/js/controller/main.js'), '--config', join(host.dir, 'controller/config.yaml')],
      {
        env: {
          ...process.env,
          ...host.xen.dom0Env,
          DBUS_SESSION_BUS_ADDRESS: address,
          DBUS_SYSTEM_BUS_ADDRESS: address,
          NOTIFY_SOCKET: systemd.path,
        },
        logFile: join(host.dir, 'start.log'),
      },
    );
    try {
      await waitFor('xen-audiod to be ready', () => systemd.texts.includes('READY=1'), {
        intervalMs: 1,
        detail: () => daemon.logTail(),
      });
      return new Service(daemon, performance.now() - since);
    } catch (error) {
      await daemon.kill();
      throw error;
    }
  }

  async rest(seconds: number): Promise<Pick<Report, 'rssKib' | 'wakeUps'>> {
    await delay(SETTLE_MS);
    const before = this.wakeUps();
    await delay(seconds * 1000);
    return { wakeUps: this.wakeUps() - before, rssKib: numberIn(this.status(), 'VmRSS') };
  }

  private wakeUps(): number {
    const tasks = readdirSync(`/proc/${String(this.process.pid)}/task`);
    return tasks
      .map((task) => numberIn(this.status(`task/${task}/`), 'voluntary_ctxt_switches'))
      .reduce((sum, count) => sum + count, 0);
  }

  private status(task = ''): string {
    return readFileSync(`/proc/${String(this.process.pid)}/${task}status`, 'utf8');
  }
}

function numberIn(status: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1]);
}

/** The trees take turns, so that what else the machine does falls on all of them. */
async function measure({ turns, idleSeconds, trees }: Arguments): Promise<Report[]> {
  const host = await Host.start({ config: { logLevel: 'info' } });
  const systemd = await DatagramReceiver.start(join(host.dir, 'notify'));
  try {
    await host.stopController();
    const starts = trees.map(() => ({ ready: [] as number[], ratio: [] as number[] }));
    for (let turn = 0; turn < turns; turn += 1) {
      for (const [index, tree] of trees.entries()) {
        const nodeMs = await nodeItself();
        const { process: daemon, readyMs } = await Service.start(host, systemd, tree);
        await daemon.stop();
        starts[index]?.ready.push(readyMs);
        starts[index]?.ratio.push(readyMs / nodeMs);
      }
    }
    const reports: Report[] = [];
    for (const [index, tree] of trees.entries()) {
      const service = await Service.start(host, systemd, tree);
      const { ready = [], ratio = [] } = starts[index] ?? {};
      reports.push({
        tree,
        readyMs: spread(ready),
        readyInNodes: spread(ratio),
        ...(await service.rest(idleSeconds)),
      });
      await service.process.stop();
    }
    return reports;
  } finally {
    await systemd.stop();
    await host.stop();
  }
}

async function nodeItself(): Promise<number> {
  const since = performance.now();
  await runCommand(process.execPath, ['-e', '0']);
  return performance.now() - since;
}

function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round(part * (sorted.length - 1))] ?? NaN;
  return { min: at(0), median: at(0.5), max: at(1) };
}

function textOf(report: Report, { idleSeconds }: Arguments): string {
  const line = ({ min, median, max }: Spread, digits: number): string =>
    [min, median, max].map((value) => value.toFixed(digits)).join(' / ');
  return [
    `${report.tree}: min / median / max`,
    `  ready after ${line(report.readyMs, 0)} ms, ${line(report.readyInNodes, 1)} times Node itself`,
    `  ${(report.rssKib / 1024).toFixed(1)} MiB resident, ${report.wakeUps} wake-ups in ${idleSeconds} s of rest\n`,
  ].join('\n');
}

await benchmark({
  usage: `[--turns 15] [--idle-seconds 10] [--against TREE]... [--json]

How soon xen-audiod is ready, how much memory it has then, and how often it wakes up with nothing to do (README.md).

  --turns N          starts of each tree
  --idle-seconds N   how long to look for wake-ups
  --against TREE     another tree that is built, in turn with this one
  --json             the reports as JSON`,
  options: {
    turns: { type: 'string', default: '15' },
    'idle-seconds': { type: 'string', default: '10' },
    against: { type: 'string', multiple: true, default: [] },
  },
  read: (values): Arguments => ({
    turns: numberFrom('turns', values.turns, 1, 1000),
    idleSeconds: numberFrom('idle-seconds', values['idle-seconds'], 1, 3600),
    trees: [paths.root, ...values.against.map((path) => resolve(path))],
  }),
  measure,
  textOf: (reports, args) => reports.map((report) => textOf(report, args)).join(''),
});
