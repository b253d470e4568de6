// SPDX-License-Identifier: LGPL-2.1-or-later
import { once } from 'node:events';

import { OwnedProcess } from '../lib/process.js';
import { within } from '../lib/wait.js';

/** Runs `action` while no other process has the lock of a file. @throws WaitTimeout when another keeps it too long */
export async function withLock<T>(file: string, timeoutMs: number, action: () => Promise<T>): Promise<T> {
  // Node knows no flock(2); this holds it until its standard input is closed, or we are gone.
  const holder = OwnedProcess.start('flock', 'flock', [file, 'sh', '-c', 'echo locked; exec cat'], {
    pipe: { stdin: true, stdout: true },
  });
  try {
    await within(
      `the lock ${file}, which another scripts/xen-lab has`,
      timeoutMs,
      once(holder.stdout, 'data'),
    );
    return await action();
  } finally {
    holder.stdin.end();
    await holder.stop();
  }
}
