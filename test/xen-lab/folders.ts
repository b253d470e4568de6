// SPDX-License-Identifier: LGPL-2.1-or-later
/** Where machines have their folders when they are not told another: among the user's own on tmpfs. */
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { defaultDir } from '../host/folder.js';
import { isRunning, readDescription } from './description.js';

/** The folder of `up`. */
export function sharedFolder(): string {
  return join(dirname(defaultDir()), 'lab');
}

/** A folder that no other process uses; what is in it was left by one that had our pid and was killed. */
export function ownFolder(): string {
  const dir = `${sharedFolder()}-${process.pid}`;
  rmSync(dir, { recursive: true, force: true });
  return dir;
}

/** Removes the folders of machines that have ended without removing them. */
export function removeDeadFolders(): void {
  const parent = dirname(sharedFolder());
  for (const name of readdirSync(parent).filter((entry) => /^lab(-\d+)?$/.test(entry))) {
    const machine = readDescription(join(parent, name));
    if (machine !== undefined && !isRunning(machine)) {
      rmSync(join(parent, name), { recursive: true, force: true });
    }
  }
}
