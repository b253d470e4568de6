// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * A host that outlives the command which started it: `up` starts a supervisor of its own session, which owns all
 * processes and ends them when it gets SIGTERM.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

import { tailOf } from '../lib/process.js';
import { waitFor, within, WaitTimeout } from '../lib/wait.js';
import { checkFolder, removeFolder } from '../host/folder.js';
import { Host, type HostOptions } from '../host/host.js';
import { describeHost, descriptionFile, HostDescription } from './description.js';

const STOP_TIMEOUT_MS = 60_000;

/** What a supervisor tells the command that started it. */
const Report = z.union([z.object({ host: HostDescription }), z.object({ error: z.string() })]);

/** Starts a supervisor and resolves when its host is complete. @throws Error that says what is missing */
export async function startSupervised(
  options: HostOptions & { dir: string },
  timeoutMs: number,
): Promise<HostDescription> {
  const program = fileURLToPath(new URL('./main.js', import.meta.url));
  checkFolder(options.dir);
  // Nothing of ours may be inherited: whoever reads our output waits for its end.
  const log = openSync(logFileOf(options.dir), 'a', 0o600);
  const child = spawn(process.execPath, [program, 'supervise', JSON.stringify(options)], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const report = new Promise<unknown>((resolve, reject) => {
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code) => {
      reject(new Error(`the supervisor ended (${String(code)})\n${tailOf(logFileOf(options.dir))}`));
    });
  });
  const interrupt = (): void => {
    child.kill('SIGTERM');
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    const found = Report.parse(await within('the emulated host to be complete', timeoutMs, report));
    if ('error' in found) {
      throw new Error(found.error);
    }
    child.disconnect();
    child.unref();
    return found.host;
  } catch (error) {
    if (error instanceof WaitTimeout) {
      interrupt();
    }
    rmSync(logFileOf(options.dir), { force: true });
    throw error;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

/** The supervisor itself: runs a host until SIGTERM or SIGINT. */
export async function supervise(options: HostOptions): Promise<void> {
  const stopping = new AbortController();
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => {
      resolve();
    });
  });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      stopping.abort(new Error(`stopped by ${signal}`));
    });
  }
  let host: Host;
  try {
    host = await Host.start({ ...options, xen: 'emulated', signal: stopping.signal });
  } catch (error) {
    await tell({ error: error instanceof Error ? error.message : String(error) });
    return;
  }
  const description = {
    ...describeHost(host),
    supervisor: { pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0 },
  };
  writeFileSync(descriptionFile(host.dir), `${JSON.stringify(description, null, 2)}\n`);
  await tell({ host: description });
  await stopped;
  await host.stop();
}

/** Sends one report; that the command has gone in the meantime is no failure. */
async function tell(report: z.infer<typeof Report>): Promise<void> {
  await new Promise<void>((resolve) => {
    if (process.send === undefined) {
      resolve();
      return;
    }
    process.send(report, () => {
      resolve();
    });
  });
}

/** The host in a folder. @throws Error when there is none */
export function readDescription(dir: string): HostDescription {
  const file = descriptionFile(dir);
  if (!existsSync(file)) {
    const hint = existsSync(dir)
      ? 'it is starting, or its start was cut off: wait, or remove the folder'
      : "start one with 'scripts/emulated-host up'";
    throw new Error(`no emulated host in ${dir}: ${hint}`);
  }
  return HostDescription.parse(JSON.parse(readFileSync(file, 'utf8')));
}

export function isRunning(host: HostDescription): boolean {
  const { supervisor } = host;
  return supervisor !== undefined && startTicksOf(supervisor.pid) === supervisor.startTicks;
}

/** Ends the host in a folder and removes the folder. What a supervisor started never outlives it. */
export async function stopSupervised(host: HostDescription): Promise<void> {
  const { dir, supervisor } = host;
  if (supervisor !== undefined && isRunning(host)) {
    process.kill(supervisor.pid, 'SIGTERM');
    await waitFor('the emulated host to end', () => !isRunning(host), { timeoutMs: STOP_TIMEOUT_MS });
  }
  removeFolder(dir);
  rmSync(logFileOf(dir), { force: true });
}

/**
 * Clock ticks from boot to a process's start, which tell it from a later one of the same pid: field 22 of
 * /proc/PID/stat, proc(5). Undefined when there is no such process.
 */
function startTicksOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, field 2, may hold anything; behind it the fields begin with the third.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

/** What a supervisor says itself; beside the folder, which it makes and removes. */
function logFileOf(dir: string): string {
  return `${dir}.log`;
}
