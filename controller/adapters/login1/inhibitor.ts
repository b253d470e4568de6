// SPDX-License-Identifier: LGPL-2.1-or-later
import { spawn } from 'node:child_process';
import type { LogPort } from '../../device/ports.js';
import { messageOf } from '../../util/errors.js';
import { withTimeout } from '../../util/timeout.js';

const TOPIC = 'sleep';
const PROGRAM = 'systemd-inhibit';
const RELEASE_TIMEOUT_MS = 1_000;

/** Delays the machine's sleep until it is released. */
export interface Inhibitor {
  /** Resolves when sleep waits for us no longer. Never throws. */
  release(): Promise<void>;
}

/**
 * Takes a delay lock of logind's. What holds it is a descriptor, which Node cannot receive over D-Bus, so a program of
 * systemd's keeps it, as long as a program that reads our pipe to its end: the lock goes when we go, however we end.
 */
export const takeInhibitor = (log: LogPort): Inhibitor => {
  try {
    return hold(log);
  } catch (error) {
    log.debug(TOPIC, `sleep will not wait for the guests' streams to pause: ${PROGRAM}: ${messageOf(error)}`);
    return { release: () => Promise.resolve() };
  }
};

/** @throws Error when there is no memory or descriptor for a program */
const hold = (log: LogPort): Inhibitor => {
  const args = [
    '--what=sleep',
    '--mode=delay',
    '--who=xen-audio',
    '--why=The sound of Xen guests pauses first',
  ];
  const holder = spawn(PROGRAM, [...args, 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] });
  const complain = (why: string): void => {
    log.debug(TOPIC, `sleep will not wait for the guests' streams to pause: ${PROGRAM} ${why}`);
  };
  let released = false;
  const ended = new Promise<void>((resolve) => {
    holder.once('error', (error) => {
      complain(messageOf(error));
      resolve();
    });
    holder.once('exit', (code) => {
      if (!released) complain(`has ended with ${code === null ? 'a signal' : `exit code ${code}`}`);
      resolve();
    });
  });
  holder.stdin.on('error', () => undefined); // it has ended: that shows in `ended`
  return {
    release: async () => {
      released = true;
      holder.stdin.end();
      try {
        await withTimeout(ended, RELEASE_TIMEOUT_MS, PROGRAM);
      } catch {
        holder.kill('SIGKILL');
      }
    },
  };
};
