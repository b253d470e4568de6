// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Counts } from '../../host/xen.js';
import { backendModulesOf, logFrom, TwoGuests } from '../../lib/e2e-lifecycle.js';
import { paths } from '../../lib/paths.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 120_000;
const PROGRAM = join(paths.root, 'build', 'e2e-tools', 'hostile-frontend');
/** What a guest may make xen-audiod keep: less than one byte of each thing it did. */
const GROWTH_MAX_KIB = 32 * 1024;
/** In some ten seconds, the other guest's share included. */
const LOG_LINES_MAX = 1000;
/** -EINVAL of Xen. */
const INVALID = -22;

interface Misdeed {
  mode: string;
  title: string;
  /** What dom0's sound server or xen-audiod must say of it. */
  says?: RegExp;
  /** The answers the guest gets, each of them negative. */
  refused?: number;
}

const misdeeds: readonly Misdeed[] = [
  {
    mode: 'ring-jump',
    title: "moves its ring's index a million requests ahead",
    says: /vsnd-0\/0\/0: its request ring's producer index is impossible; its stream is closed/,
  },
  { mode: 'notify-flood', title: 'notifies as fast as it can' },
  { mode: 'request-flood', title: 'keeps its ring full of requests' },
  {
    mode: 'rubbish',
    title: 'writes rubbish over its ring and its event page',
    says: /vsnd-0\/0\/0: .*impossible/,
  },
  { mode: 'revoke', title: 'takes back the pages of a stream that plays' },
  { mode: 'foreign-pages', title: 'opens with pages that are not its own', refused: 3 },
  {
    mode: 'foreign-ring',
    title: 'publishes a ring that is not granted to dom0',
    says: /subject\/0: refused: stream 0\/0: .*mapping the request ring \(ring-ref\) failed/,
  },
  {
    mode: 'open-wrongly',
    title: 'opens with what is too much, or with a short directory',
    says: /Guest subject, vsnd-0\/0\/0: its OPEN is refused: .*(buffer_sz|pcm_rate|pcm_format|directory)/,
    refused: 4,
  },
  {
    mode: 'write-wrongly',
    title: 'writes beyond its buffer, between frames, around the end of 32 bits',
    refused: 5,
  },
  { mode: 'flap', title: 'changes its state thousands of times' },
];

describe('end to end: a guest that means harm', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  /** What is held before the guest does anything. */
  let clean: Counts;
  let program: OwnedProcess | undefined;

  before(async () => {
    stage = await TwoGuests.start();
    await stage.subject.pulse.stop();
    await stage.undisturbed(() => Promise.resolve());
    clean = await stage.idleCounts();
  });

  afterEach(async () => {
    if (program !== undefined) await cleanUp();
  });

  after(async () => {
    await program?.kill();
    await stage.stop();
  });

  async function start(mode: string): Promise<OwnedProcess> {
    const { machine, env } = stage.subject.domain;
    const options = { env: { PATH: process.env['PATH'], ...env }, logFile: outputFile() };
    program = machine.start(`hostile-frontend ${mode}`, await machine.provide(PROGRAM), [mode], options);
    return program;
  }

  const outputFile = (): string => join(stage.subject.dir, 'hostile.log');

  async function misbehave(mode: string): Promise<string> {
    const output = logFrom(outputFile()); // before it can say anything
    const running = await start(mode);
    await waitFor(
      `hostile-frontend ${mode} to be done`,
      () => output().includes('done\n') || !running.running,
      {
        timeoutMs: 30_000,
        detail: output,
      },
    );
    assert.match(output(), /done\n$/);
    return output();
  }

  /** The guest's domain as it was before: its program ended, its card made anew by the toolstack. */
  async function cleanUp(): Promise<void> {
    await program?.kill();
    program = undefined;
    await stage.host.changeCard(stage.subject);
  }

  for (const { mode, title, says, refused = 0 } of misdeeds) {
    it(`${title}, and harms nobody but itself`, async () => {
      const { host } = stage;
      const pids = [host.pulse.pid, host.controller.pid];
      const startKib = residentKib(host.controller.pid);
      const logs = [logFrom(host.pulse.logFile), logFrom(host.controller.logFile)];
      const log = (): string => logs.map((read) => read()).join('');

      await stage.undisturbed(async () => {
        const output = await misbehave(mode);
        const statuses = [...output.matchAll(/^(?!requests|notifications).*: (-?\d+)$/gm)].map((m) =>
          Number(m[1]),
        );
        assert.equal(statuses.filter((status) => status === INVALID).length, refused, output);
        if (says !== undefined) {
          await waitFor(`dom0 to say ${String(says)}`, () => says.test(log()), { detail: log });
        }
      });

      await cleanUp();
      await stage.holds(clean);
      assert.deepEqual([host.pulse.pid, host.controller.pid], pids);
      assert.ok(host.pulse.running && host.controller.running);
      const grownKib = residentKib(host.controller.pid) - startKib;
      assert.ok(grownKib < GROWTH_MAX_KIB, `xen-audiod grew by ${grownKib} KiB`);
      const lines = log()
        .split('\n')
        .filter((line) => !line.startsWith('debug ')); // asked for by the tests alone
      assert.ok(lines.length < LOG_LINES_MAX, `a guest cannot fill the log: ${lines.length} lines`);
    });
  }

  it('vanishes without a word, and is found gone', async () => {
    const log = logFrom(stage.host.pulse.logFile);
    await stage.undisturbed(async () => {
      await misbehave('vanish');
      await waitFor('its module to be unloaded', async () => {
        const modules = await backendModulesOf(stage.host, stage.subject);
        return modules.length === 0;
      });
    });
    assert.match(log(), /Guest subject, vsnd-0\/0\/0: the frontend's process is gone/);
    await cleanUp();
    await stage.holds(clean);
  });

  it('is destroyed in the midst of it, and holds nothing', async () => {
    const { host, subject } = stage;
    await stage.undisturbed(async () => {
      await misbehave('request-flood');
      await program?.kill();
      program = undefined;
      await host.removeGuest(subject);
    });
    await waitFor('its modules to be unloaded', async () => {
      const modules = await backendModulesOf(host, subject);
      return modules.length === 0;
    });
    const { domains } = await stage.idleCounts();
    assert.equal(domains[subject.domain.key], undefined);
    assert.equal(domains['dom0']?.mapped, clean.domains['dom0']?.mapped);
    assert.equal(domains['dom0']?.ports, clean.domains['dom0']?.ports);
  });
});

/** Memory of a process that is really there. */
function residentKib(pid: number | undefined): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid ?? 0}/status`, 'utf8'))?.[1]);
}
