// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

import { machineFiles } from './machine-spec.js';

/** A machine, as `machine.json` in its folder says. */
export const MachineDescription = z.object({
  dir: z.string(),
  /** QEMU's process. */
  pid: z.number().int().positive(),
  /** On 127.0.0.1; dom0's ssh. */
  sshPort: z.number().int().positive(),
  time: z.enum(['real', 'instructions']),
  guests: z.number().int(),
  imageDir: z.string(),
});
export type MachineDescription = z.infer<typeof MachineDescription>;

/** The machine of a folder, which may have ended; undefined when there is none. */
export function readDescription(dir: string): MachineDescription | undefined {
  const file = join(dir, machineFiles.description);
  return existsSync(file) ? MachineDescription.parse(JSON.parse(readFileSync(file, 'utf8'))) : undefined;
}

/** Whether its QEMU runs: the pid may be another process's by now, but only its own names the machine's socket. */
export function isRunning({ pid, dir }: Pick<MachineDescription, 'pid' | 'dir'>): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(join(dir, machineFiles.qmp));
  } catch {
    return false;
  }
}

/** @throws Error that says how to start one, or why the one that was there is no more */
export function runningMachine(dir: string): MachineDescription {
  const machine = readDescription(dir);
  if (machine === undefined) {
    throw new Error(`no machine in ${dir}: start one with 'scripts/xen-lab up'`);
  }
  if (!isRunning(machine)) {
    throw new Error(
      `the machine in ${dir} has ended; 'scripts/xen-lab up' starts it anew\n${consoleTail(dir)}`,
    );
  }
  return machine;
}

/** The end of what Xen and dom0 said on the serial line, for an error. */
export function consoleTail(dir: string, lines = 60): string {
  const file = join(dir, machineFiles.consoleLog);
  const text = existsSync(file) ? readFileSync(file, 'utf8').replaceAll('\r', '').trimEnd() : '';
  if (text === '') {
    return `the machine's console (${file}) is empty`;
  }
  const shown = text.split('\n').slice(-lines);
  return `the end of the machine's console:\n${shown.map((line) => `  | ${line}`).join('\n')}`;
}
