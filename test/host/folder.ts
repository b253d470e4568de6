// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** Leaves room for `/xen/domains/<key>/xenstored.sock` below: a Unix socket's path has at most 107 octets. */
const DIR_MAX_OCTETS = 64;

/** The folder of the host that `scripts/emulated-host` manages when it is not told another. */
export function defaultDir(): string {
  return join(userFolder(), 'host');
}

/** Of this process, which are memory: none of them may outlive it. */
const testFolders = new Set<string>();
process.once('exit', () => {
  testFolders.forEach(removeFolder);
});

/** Makes a new private folder for a host that a test runs. */
export function makeTestFolder(): string {
  const path = mkdtempSync(join(userFolder(), 't-'));
  testFolders.add(path);
  return path;
}

/**
 * Whether a host can have this folder, which it makes itself.
 *
 * @returns its absolute path
 * @throws Error that says what is in the way
 */
export function checkFolder(dir: string): string {
  const path = resolve(dir);
  if (Buffer.byteLength(path) > DIR_MAX_OCTETS) {
    throw new Error(
      `${path} is too long for the sockets in it: choose a --dir of at most ${DIR_MAX_OCTETS} octets`,
    );
  }
  if (existsSync(path)) {
    throw new Error(
      `${path} exists: end its host with 'scripts/emulated-host down', or choose another --dir`,
    );
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return path;
}

/** Makes the folder of a host. @throws as checkFolder */
export function claimFolder(dir: string): string {
  const path = checkFolder(dir);
  mkdirSync(path, { mode: 0o700 });
  return path;
}

export function removeFolder(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 }); // what ends may still write
  testFolders.delete(dir);
}

/** Our folder on tmpfs, where shared pages and sockets belong: only we may enter it. */
function userFolder(): string {
  const base = existsSync('/dev/shm') && statSync('/dev/shm').isDirectory() ? '/dev/shm' : tmpdir();
  const uid = process.getuid?.() ?? 0;
  const path = join(base, `xen-audio-${uid}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new Error(`${path} is not a folder that only we can enter: remove it, or ask who made it`);
  }
  return path;
}
