// SPDX-License-Identifier: LGPL-2.1-or-later
import { mkdirSync, writeFileSync } from 'node:fs';

import { OwnedProcess, runCommand, type CommandResult, type ProcessOptions } from '../lib/process.js';

/** A kernel that programs of a test run on, and its files. */
export interface Machine {
  /** How this machine reaches it over TCP; undefined for this machine itself. */
  readonly hostName?: string;
  /** Starts a program, as OwnedProcess.start does; its log is a file of this machine's. */
  start(name: string, command: string, args: readonly string[], options?: ProcessOptions): OwnedProcess;
  /** Runs a program to its end, as runCommand does. */
  run(
    command: string,
    args: readonly string[],
    options?: { env?: NodeJS.ProcessEnv; timeoutMs?: number },
  ): Promise<CommandResult>;
  /** Makes a folder with all above it, which only its owner may enter. */
  makeFolder(path: string): Promise<void>;
  /** Writes a whole file, in a folder that exists. */
  write(path: string, data: Buffer | string): Promise<void>;
  /** A folder or file of the project, as programs there see it: brought over when it is not there yet. */
  provide(path: string): Promise<string>;
}

/** The machine that the tests run on. */
export const thisMachine: Machine = {
  start: (name, command, args, options) => OwnedProcess.start(name, command, args, options),
  run: runCommand,
  makeFolder: (path) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return Promise.resolve();
  },
  write: (path, data) => {
    writeFileSync(path, data);
    return Promise.resolve();
  },
  provide: (path) => Promise.resolve(path),
};

const realtime = new WeakMap<Machine, Promise<boolean>>();

/** Whether a thread of ours may have realtime priority there; asked once. */
export function mayUseRealtime(machine: Machine): Promise<boolean> {
  const asked =
    realtime.get(machine) ?? machine.run('chrt', ['-r', '5', 'true']).then(({ code }) => code === 0);
  realtime.set(machine, asked);
  return asked;
}
