// SPDX-License-Identifier: LGPL-2.1-or-later
/** A machine from its start to its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { getPriority } from 'node:os';
import { dirname, join, resolve } from 'node:path';

import { z } from 'zod';

import { runCommand, tailOf } from '../lib/process.js';
import { paths } from '../lib/paths.js';
import { waitFor } from '../lib/wait.js';
import { consoleTail, isRunning, readDescription, type MachineDescription } from './description.js';
import { interruptible } from './interrupt.js';
import { hostArguments, imageFiles, machineArguments, machineFiles, quote } from './machine-spec.js';
import type { MachineOptions } from './options.js';
import { Qmp } from './qmp.js';
import { setSessionNiceness } from './session.js';
import { mustRunInDom0, runInDom0, sshArguments } from './shell.js';
import { checkMemory, readHost } from './system-check.js';

const MEMORY_GIB = 2;
/** Leaves room for the sockets below; a Unix socket's path has at most 107 octets, and ssh appends 17 for a while. */
const DIR_MAX_OCTETS = 80;
const QEMU_START_TIMEOUT_MS = 15_000;
const RESUME_TIMEOUT_MS = 180_000;
const DOM0_BOOT_TIMEOUT_MS = 300_000;
const GUEST_BOOT_TIMEOUT_MS = 330_000;
const MIGRATE_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 10_000;
const PORT_TRIES = 5;
/** What dom0 says on its console when it takes logins; image/tree/usr/local/lib/xen-lab/boot. */
const DOM0_UP = 'xen-lab: dom0 is up';

/** qemu-qmp-ref(7), query-cpus-fast. */
const Processors = z.array(z.object({ 'thread-id': z.int() }));

export interface StartOptions {
  machine: MachineOptions;
  imageDir: string;
  dir: string;
  /** Memory image to resume from; undefined: boot. */
  memoryImage: string | undefined;
  /** Whether the machine must end with this process, however that ends. */
  mortal: boolean;
}

/** Starts a machine in a folder of its own and resolves when dom0 and the guests answer. */
export async function startMachine(options: StartOptions): Promise<MachineDescription> {
  checkMemory(readHost().meminfo, MEMORY_GIB);
  const dir = claimFolder(options.dir);
  let machine: MachineDescription | undefined;
  const abandon = (): boolean => {
    abandonMachine(dir, machine?.pid);
    return false;
  };
  return interruptible(abandon, async () => {
    try {
      copyFileSync(join(options.imageDir, imageFiles.key), join(dir, machineFiles.key));
      machine = await startQemu({ ...options, dir });
      writeFileSync(join(dir, machineFiles.description), JSON.stringify(machine));
      if (options.machine.background) await giveWay(machine);
      await (options.memoryImage === undefined ? boot(machine, options.machine) : awaitDom0(machine));
      return machine;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const failure = new Error(`${message}\n${consoleTail(dir)}`, { cause: error });
      abandon();
      throw failure;
    }
  });
}

/** Runs `action` with a machine that ends with it, also when we are interrupted. */
export async function withMachine<T>(machine: MachineDescription, action: () => Promise<T>): Promise<T> {
  const abandon = (): boolean => {
    abandonMachine(machine.dir, machine.pid);
    return false;
  };
  try {
    return await interruptible(abandon, action);
  } finally {
    await stopMachine(machine);
  }
}

/** Ends a machine without waiting for anything. */
function abandonMachine(dir: string, pid: number | undefined): void {
  if (pid !== undefined && isRunning({ dir, pid })) {
    process.kill(pid, 'SIGKILL');
  }
  removeMachineFolder(dir);
}

/** Ends a machine at once, as pulling the plug would, and removes its folder; its console stays in build/log. */
export async function stopMachine(machine: MachineDescription): Promise<void> {
  const { dir, pid } = machine;
  if (existsSync(join(dir, machineFiles.ssh))) {
    await runCommand('ssh', ['-O', 'exit', ...sshArguments(machine)]).catch(() => undefined);
  }
  if (isRunning(machine)) {
    process.kill(pid, 'SIGTERM');
    await waitFor('QEMU to end', () => !isRunning(machine), { timeoutMs: STOP_TIMEOUT_MS }).catch(() => {
      process.kill(pid, 'SIGKILL');
    });
  }
  removeMachineFolder(dir);
}

/** Writes a running machine's memory to a file; the machine is stopped from then on. */
export async function writeMemory({ dir }: MachineDescription, file: string): Promise<void> {
  const qmp = await Qmp.open(join(dir, machineFiles.qmp));
  try {
    // Not stopped by us: the file keeps the state, and a machine resumed from it would stay stopped. QEMU stops it when
    // what is left fits into the longest pause it may make, which so is at once.
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': 2 ** 40, 'downtime-limit': 60_000 });
    await qmp.execute('migrate', { uri: `exec:cat >${quote(file)}` });
    await waitFor(`QEMU to write ${file}`, () => hasMigrated(qmp), { timeoutMs: MIGRATE_TIMEOUT_MS });
  } finally {
    qmp.close();
  }
}

async function hasMigrated(qmp: Qmp): Promise<boolean> {
  const { status } = (await qmp.execute('query-migrate')) as { status?: string };
  if (status === 'failed' || status === 'cancelled') {
    throw new Error(`migration to the file ${status}`);
  }
  return status === 'completed';
}

/** @throws Error when the folder cannot be a machine's, or is another's */
function claimFolder(wanted: string): string {
  const dir = resolve(wanted);
  if (Buffer.byteLength(dir) > DIR_MAX_OCTETS || /[,\s]/.test(dir)) {
    throw new Error(`${dir}: a machine's folder has at most ${DIR_MAX_OCTETS} octets, no comma and no blank`);
  }
  const before = readDescription(dir);
  if (before !== undefined && isRunning(before)) {
    throw new Error(`a machine runs in ${dir}: end it with 'scripts/xen-lab down', or choose another --dir`);
  }
  if (before !== undefined) {
    rmSync(dir, { recursive: true, force: true });
  }
  mkdirSync(dirname(dir), { recursive: true });
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    throw new Error(`${dir} exists and is no machine's: choose another --dir, or remove it`, {
      cause: error,
    });
  }
  return dir;
}

function removeMachineFolder(dir: string): void {
  const log = join(dir, machineFiles.consoleLog);
  if (existsSync(log) && statSync(log).size > 0) {
    mkdirSync(join(paths.root, 'build', 'log'), { recursive: true });
    copyFileSync(log, join(paths.root, 'build', 'log', 'xen-lab-console.log'));
  }
  rmSync(dir, { recursive: true, force: true });
}

/** Starts QEMU. Between our looking for a free port and QEMU's taking it another may; then it is tried again. */
async function startQemu(options: StartOptions): Promise<MachineDescription> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryQemu(options, await freePort());
    } catch (error) {
      if (tries === PORT_TRIES || !String(error).includes('host forwarding')) {
        throw error;
      }
    }
  }
}

async function tryQemu(options: StartOptions, sshPort: number): Promise<MachineDescription> {
  const { machine, imageDir, dir, memoryImage, mortal } = options;
  const qemu = [
    'qemu-system-x86_64',
    ...hostArguments(dir, sshPort, memoryImage),
    ...machineArguments(machine, imageDir),
  ];
  // Whoever removes images looks at this lock; QEMU inherits it and has it until it ends.
  const locked = ['flock', '--shared', '--no-fork', join(imageDir, 'in-use'), ...qemu];
  const [command = '', ...args] = mortal ? ['setpriv', '--pdeathsig', 'KILL', '--', ...locked] : locked;
  const log = openSync(join(dir, machineFiles.qemuLog), 'w', 0o600);
  // A session of its own: Ctrl-C is for us, who then end it in order. But what gives way must be of our own (session.ts).
  const child = spawn(command, args, { detached: !machine.background, stdio: ['ignore', log, log] });
  closeSync(log);
  child.unref();
  await once(child, 'spawn');
  const { pid } = child;
  if (pid === undefined) {
    throw new Error(`${command} could not be started`);
  }
  if (!machine.background) setSessionNiceness(pid, getPriority());
  await waitFor('QEMU to start', () => child.exitCode !== null || existsSync(join(dir, machineFiles.qmp)), {
    timeoutMs: QEMU_START_TIMEOUT_MS,
  });
  if (child.exitCode !== null) {
    throw new Error(`QEMU did not start\n${tailOf(join(dir, machineFiles.qemuLog))}`);
  }
  return { dir, pid, sshPort, time: machine.time, guests: machine.guests, imageDir };
}

/**
 * Lets a machine's processors have what all else on the host leaves. Not its other threads: a processor that has nothing to do
 * but wait for the disk leaps from timer to timer, and a moment of the host's is many seconds to it.
 */
async function giveWay({ dir }: MachineDescription): Promise<void> {
  const qmp = await Qmp.open(join(dir, machineFiles.qmp));
  try {
    for (const { 'thread-id': thread } of Processors.parse(await qmp.execute('query-cpus-fast'))) {
      const { code, stderr } = await runCommand('chrt', ['--idle', '--pid', '0', String(thread)]);
      if (code !== 0) throw new Error(`chrt: ${stderr.trim()}`);
    }
  } finally {
    qmp.close();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') {
    throw new Error('no free port on 127.0.0.1');
  }
  return address.port;
}

/** From Xen's first line to the last guest's login. */
async function boot(machine: MachineDescription, options: MachineOptions): Promise<void> {
  const log = join(machine.dir, machineFiles.consoleLog);
  await whileRunning(machine, 'dom0 to boot', DOM0_BOOT_TIMEOUT_MS, () =>
    Promise.resolve(existsSync(log) && readFileSync(log, 'utf8').includes(DOM0_UP)),
  );
  await awaitDom0(machine);
  for (const [guest, lines] of options.guestConfigs) {
    const file = `/etc/xen/guest${guest}.cfg`;
    await mustRunInDom0(machine, `guest ${guest}'s configuration`, `echo ${quote(lines)} >>${file}`, 30_000);
  }
  for (let guest = 1; guest <= options.guests; guest += 1) {
    const line = `/usr/local/lib/xen-lab/boot-guest ${guest}`;
    await mustRunInDom0(machine, `guest ${guest}'s start`, line, GUEST_BOOT_TIMEOUT_MS);
  }
}

/** Waits for a login, and tells dom0 the time: a resumed machine has that of its memory image. */
async function awaitDom0(machine: MachineDescription): Promise<void> {
  await whileRunning(machine, "dom0's ssh", RESUME_TIMEOUT_MS, async () => {
    const now = (Date.now() / 1000).toFixed(2);
    return (await runInDom0(machine, `date -s @${now} >/dev/null`, RESUME_TIMEOUT_MS)).code === 0;
  });
}

/** Waits for something of a machine. @throws Error as soon as the machine has ended; WaitTimeout */
async function whileRunning(
  machine: MachineDescription,
  what: string,
  timeoutMs: number,
  probe: () => Promise<boolean>,
): Promise<void> {
  await waitFor(what, async () => !isRunning(machine) || (await probe()), { timeoutMs, intervalMs: 100 });
  if (!isRunning(machine)) {
    const log = tailOf(join(machine.dir, machineFiles.qemuLog));
    throw new Error(`the machine ended (QEMU, process ${machine.pid}) before ${what}\n${log}`);
  }
}
