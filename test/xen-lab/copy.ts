// SPDX-License-Identifier: LGPL-2.1-or-later
/** Folders to dom0 and back. */
import { existsSync, mkdirSync, statSync } from 'node:fs';

import { runCommand } from '../lib/process.js';
import type { MachineDescription } from './description.js';
import { quote } from './machine-spec.js';
import { sshArguments } from './shell.js';

/** Where `run` puts the folder: on a tmpfs in dom0. */
export const RUN_DIR = '/srv/run';
/** Younger than all that was copied in, older than what the command writes. */
const MARK = '/run/lab/copied-in';
const COPY_TIMEOUT_MS = 600_000;

/** Compressed: dom0 decrypts some 5 MB a second, and unpacks faster. */
const COMPRESS = 'zstd -q -T0 -3';

/** @param exclude patterns for tar */
export async function copyIn(
  machine: MachineDescription,
  folder: string,
  exclude: readonly string[],
): Promise<void> {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new Error(`${folder} is no folder`);
  }
  const leaveOut = exclude.map((pattern) => quote(`--exclude=${pattern}`)).join(' ');
  const there = `zstd -qdc | tar -x -C ${RUN_DIR} && touch ${MARK}`;
  await shell(`tar -c -C ${quote(folder)} ${leaveOut} . | ${COMPRESS} | ${ssh(machine, there)}`);
}

/** Copies the files that are new or changed since copyIn. */
export async function copyResults(machine: MachineDescription, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const changed = `find . -newer ${MARK} ! -type d ! -type s -print0`;
  const there = `cd ${RUN_DIR} && ${changed} | tar -c --null --no-recursion -T - | zstd -qc -1`;
  await shell(`${ssh(machine, there)} </dev/null | zstd -qdc | tar -x -C ${quote(folder)}`);
}

function ssh(machine: MachineDescription, line: string): string {
  return ['ssh', ...sshArguments(machine), line].map(quote).join(' ');
}

async function shell(line: string): Promise<void> {
  const result = await runCommand('bash', ['-o', 'pipefail', '-c', line], { timeoutMs: COPY_TIMEOUT_MS });
  if (result.code !== 0) {
    throw new Error(
      `could not copy: ${result.stderr.trim()}\nThe folder is a tmpfs in dom0: is it too large?`,
    );
  }
}
