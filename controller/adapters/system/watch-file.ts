// SPDX-License-Identifier: LGPL-2.1-or-later
import { watch, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { ClockPort } from '../../device/ports.js';
import { messageOf } from '../../util/errors.js';

/** Editors write a file in several steps. */
const SETTLE_MS = 100;

/**
 * Calls `onChange` a moment after a file has been written, replaced or removed, until the returned function is called. Its
 * folder is watched, for editors replace the file; where it is a link, what that leads to is not.
 * @param onLost called once, when the folder can no longer be watched: it has gone
 * @throws Error when the folder is not there, or the system has no more watches
 */
export const watchFile = (
  path: string,
  clock: ClockPort,
  onChange: () => void,
  onLost: (why: string) => void,
): (() => void) => {
  const folder = dirname(path);
  const names: readonly string[] = [basename(path), basename(folder)]; // the latter when the folder itself goes
  let watcher: FSWatcher | undefined;
  let cancel = (): void => undefined;
  const stop = (): void => {
    cancel();
    watcher?.close();
  };
  const lose = (error: unknown): void => {
    stop();
    onLost(messageOf(error));
  };
  /** Anew after each change: by then the path may lead to another folder. */
  const arm = (): void => {
    const next = watch(folder, { persistent: false }, (_event, name) => {
      if (name !== null && !names.includes(name)) return;
      cancel();
      cancel = clock.after(SETTLE_MS, settled);
    });
    next.on('error', lose);
    watcher?.close();
    watcher = next;
  };
  const settled = (): void => {
    try {
      arm();
    } catch (error) {
      lose(error);
    }
    onChange();
  };
  arm();
  return stop;
};

/** The same, for what is looked at anyway from time to time: what cannot be watched is not. */
export const watchFileIfPossible = (path: string, clock: ClockPort, onChange: () => void): (() => void) => {
  try {
    return watchFile(path, clock, onChange, () => undefined);
  } catch {
    return () => undefined;
  }
};
