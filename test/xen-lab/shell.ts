// SPDX-License-Identifier: LGPL-2.1-or-later
/** Commands in a running machine, by ssh. */
import { spawn, type StdioOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { runCommand, type CommandResult } from '../lib/process.js';
import { consoleTail, isRunning, type MachineDescription } from './description.js';
import { interruptible } from './interrupt.js';
import { machineFiles, quote } from './machine-spec.js';

/** What ssh exits with when the connection failed, and what timeout(1) does at its limit. */
const SSH_FAILED = 255;
const TIMED_OUT = 124;
const CLEAN_UP_TIMEOUT_MS = 30_000;
/** ssh may notice before QEMU's process is gone. */
const LAST_BREATH_MS = 1000;

/** Where a command runs; 0 is dom0. */
export interface Place {
  machine: MachineDescription;
  guest: number;
}

/** Arguments of ssh for a machine; one connection serves all commands until the machine ends. */
export function sshArguments({ dir, sshPort }: MachineDescription): string[] {
  const options = [
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'LogLevel=ERROR',
    'IdentitiesOnly=yes',
    'ControlMaster=auto',
    `ControlPath=${join(dir, machineFiles.ssh)}`,
    'ControlPersist=yes',
    'ConnectTimeout=10',
    // A busy machine may be silent for long; one that has ended closes the connection by itself.
    'ServerAliveInterval=30',
    'ServerAliveCountMax=20',
  ].flatMap((option) => ['-o', option]);
  const key = join(dir, machineFiles.key);
  // No configuration of the user's: it may send sockets, agents or variables along.
  return ['-F', 'none', '-p', String(sshPort), '-i', key, ...options, 'root@127.0.0.1'];
}

/** Runs a line of sh in dom0 and keeps what it printed. @throws WaitTimeout */
export function runInDom0(
  machine: MachineDescription,
  line: string,
  timeoutMs: number,
): Promise<CommandResult> {
  return runCommand('ssh', ['-n', ...sshArguments(machine), line], { timeoutMs });
}

/** As runInDom0. @throws Error with what it printed when it failed, and with the console when the machine ended */
export async function mustRunInDom0(
  machine: MachineDescription,
  title: string,
  line: string,
  timeoutMs: number,
): Promise<string> {
  const result = await runInDom0(machine, line, timeoutMs);
  if (result.code !== 0) {
    throwIfEnded(machine);
    throw new Error(`${title}: failed in dom0 (${line})\n${result.stdout}${result.stderr}`.trimEnd());
  }
  return result.stdout;
}

/**
 * Runs a line of sh with our standard streams.
 *
 * @returns its exit code, 128+n when signal n ended it or us
 * @throws Error when the machine ended under it, or at the time limit
 */
export async function runAttached(place: Place, line: string, timeoutMs: number): Promise<number> {
  const token = `XEN_LAB_COMMAND=${randomUUID()}`;
  // The shell stays, so that a signal which ends the command becomes an exit code; variables mark what belongs to it.
  const marked = `export ${token}; ${line}\nexit $?`;
  const { code, cause } = await attach(place, marked, timeoutMs);
  if (cause !== undefined) {
    await endCommand(place, token);
  }
  if (cause === 'timeout') {
    throw new Error(
      `timed out after ${timeoutMs / 1000} s (--timeout): ${line}\n${consoleTail(place.machine.dir)}`,
    );
  }
  if (cause === undefined && code === SSH_FAILED) {
    await delay(LAST_BREATH_MS);
    throwIfEnded(place.machine);
  }
  return code;
}

type Cause = 'timeout' | NodeJS.Signals | undefined;

/** The ssh that carries a command; ends at the limit or when we are told to. */
async function attach(
  place: Place,
  line: string,
  timeoutMs: number,
): Promise<{ code: number; cause: Cause }> {
  const terminal = process.stdin.isTTY && process.stdout.isTTY;
  const stdio: StdioOptions = [process.stdin.isTTY && !terminal ? 'ignore' : 'inherit', 'inherit', 'inherit'];
  const args = [...(terminal ? ['-t'] : []), ...sshArguments(place.machine), lineAt(place, line, terminal)];
  const child = spawn('ssh', args, { stdio });
  let cause: Cause;
  const end = (why: Cause): void => {
    cause ??= why;
    child.kill('SIGTERM');
  };
  const timer = setTimeout(end, timeoutMs, 'timeout');
  const onSignal = (signal: NodeJS.Signals): boolean => {
    end(signal);
    return true;
  };
  try {
    const code = await interruptible(
      onSignal,
      () =>
        new Promise<number>((resolve, reject) => {
          child.once('error', reject);
          child.once('exit', (status) => {
            resolve(status ?? SSH_FAILED);
          });
        }),
    );
    return { code: cause === undefined ? code : codeOf(cause), cause };
  } finally {
    clearTimeout(timer);
  }
}

function codeOf(cause: NodeJS.Signals | 'timeout'): number {
  return cause === 'timeout' ? TIMED_OUT : 128 + constants.signals[cause];
}

function lineAt({ guest }: Place, line: string, terminal: boolean): string {
  return guest === 0 ? line : `exec ssh ${terminal ? '-t ' : ''}guest${guest} ${quote(line)}`;
}

/** Without a terminal, a command runs on when its connection is gone; it and what it started have our mark. */
async function endCommand(place: Place, token: string): Promise<void> {
  const line = `grep -l -s ${token} /proc/[0-9]*/environ | cut -d/ -f3 | xargs -r kill`;
  await runInDom0(place.machine, lineAt(place, line, false), CLEAN_UP_TIMEOUT_MS).catch(() => undefined);
}

function throwIfEnded(machine: MachineDescription): void {
  if (!isRunning(machine)) {
    throw new Error(`the machine ended under the command\n${consoleTail(machine.dir)}`);
  }
}
