// SPDX-License-Identifier: LGPL-2.1-or-later
/** Root images and memory images, made when they are missing. */
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';

import { paths } from '../lib/paths.js';
import { describeEnd, runCommand, tailOf, type ProcessEnd } from '../lib/process.js';
import { within } from '../lib/wait.js';
import { imageKey, memoryKey } from './fingerprint.js';
import { ownFolder } from './folders.js';
import { generatedFiles } from './guest-files.js';
import { interruptible } from './interrupt.js';
import { withLock } from './lock.js';
import { startMachine, withMachine, writeMemory } from './machine.js';
import type { MachineOptions } from './options.js';
import { step } from './progress.js';
import { setSessionNiceness } from './session.js';
import { checkDisk, hostSuite, readHost } from './system-check.js';

const BUILD_TIMEOUT_MS = 900_000;
/** A build has no clock; tests that run beside it have. */
const BUILD_NICENESS = 19;
const LOCK_TIMEOUT_MS = 1_200_000;
const IMAGE_GIB = 3;
const MEMORY_IMAGE_GIB = 1;
/** Folders that a build works in. */
const UNFINISHED = 'unfinished-';

/** Where all images are; each root image in a folder by its key, with its memory images. */
export function cacheDir(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const dir = join(base, 'xen-audio', 'xen-lab');
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** Folder of the root image for this source tree and host, whether it is there or not. */
export function imageFolder(): string {
  const suite = hostSuite(readHost().osRelease, process.arch);
  return join(cacheDir(), imageKey(imageInputs(suite)));
}

/** Folder of the root image; built when there is none yet. */
export async function ensureImage(): Promise<string> {
  const dir = imageFolder();
  if (!existsSync(dir)) {
    await withCacheLock(async () => {
      if (!existsSync(dir)) {
        removeUnfinished(cacheDir());
        checkDisk(cacheDir(), IMAGE_GIB, 'the root image');
        await buildImage(dir);
        await removeImages((name) => name !== basename(dir));
      }
    });
  }
  return dir;
}

/** File with the memory of a machine of these options, up and idle; made by booting one when there is none yet. */
export async function ensureMemory(imageDir: string, machine: MachineOptions): Promise<string> {
  const version = await runCommand('qemu-system-x86_64', ['--version']);
  const name = memoryKey(machine, version.stdout.trim());
  const file = join(imageDir, `memory-${name}`);
  if (existsSync(file)) {
    return file;
  }
  return withLock(join(imageDir, `lock-${name}`), LOCK_TIMEOUT_MS, async () => {
    if (!existsSync(file)) {
      checkDisk(imageDir, MEMORY_IMAGE_GIB, 'the memory image');
      const title = `machine with ${machine.guests} guests, time by ${machine.time}: boot`;
      await step(title, () => bootToFile(imageDir, machine, file));
    }
    return file;
  });
}

/**
 * Removes root images, with their memory images, that no machine uses.
 *
 * @param which tells by an image's name whether it may go
 * @returns the names of those in use, which stay
 */
export async function removeImages(which: (name: string) => boolean): Promise<string[]> {
  const images = readdirSync(cacheDir(), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith(UNFINISHED) && which(entry.name))
    .map((entry) => entry.name);
  const used: string[] = [];
  for (const name of images) {
    const dir = join(cacheDir(), name);
    // QEMU has the lock shared for as long as it runs.
    const result = await runCommand('flock', ['--nonblock', join(dir, 'in-use'), 'rm', '-rf', dir]);
    if (result.code !== 0) {
      used.push(name);
    }
  }
  return used;
}

/** Removes what builds that were cut off have left; for who has the lock. */
export function removeUnfinished(dir: string): void {
  for (const name of readdirSync(dir)) {
    if (name.startsWith(UNFINISHED)) {
      rmSync(join(dir, name), { recursive: true, force: true });
    }
  }
}

/** Runs `action` while nobody builds an image. */
export function withCacheLock<T>(action: () => Promise<T>): Promise<T> {
  return withLock(join(cacheDir(), 'lock'), LOCK_TIMEOUT_MS, action);
}

function imageSources(): string {
  return join(paths.root, 'test', 'xen-lab', 'image');
}

function imageInputs(suite: string): Map<string, string> {
  const inputs = generatedFiles();
  for (const entry of readdirSync(imageSources(), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) {
      const file = join(entry.parentPath, entry.name);
      inputs.set(relative(imageSources(), file), readFileSync(file, 'utf8'));
    }
  }
  return inputs.set(':suite', suite).set(':node', process.version);
}

/** All or nothing: the folder appears when everything is in it. */
async function buildImage(dir: string): Promise<void> {
  const work = mkdtempSync(join(cacheDir(), UNFINISHED));
  const remove = (): boolean => {
    rmSync(work, { recursive: true, force: true });
    return false;
  };
  try {
    const generated = join(work, 'generated');
    for (const [name, text] of generatedFiles()) {
      mkdirSync(dirname(join(generated, name)), { recursive: true });
      writeFileSync(join(generated, name), text);
    }
    await interruptible(remove, () =>
      runBuild([join(imageSources(), 'build.sh'), work, generated, process.execPath]),
    );
    renameSync(join(work, 'out'), dir);
  } finally {
    remove();
  }
}

async function runBuild(command: string[]): Promise<void> {
  const logFile = join(paths.root, 'build', 'log', 'xen-lab-image.log');
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'w');
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', 'bash', ...command], {
    stdio: ['ignore', log, log, 2],
    detached: true,
  });
  closeSync(log);
  if (child.pid !== undefined) setSessionNiceness(child.pid, BUILD_NICENESS);
  const ended = new Promise<ProcessEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  const abandon = (): boolean => {
    endSession(child.pid);
    return false;
  };
  try {
    const end = await interruptible(abandon, () =>
      within('the root image to be built', BUILD_TIMEOUT_MS, ended),
    );
    if (end.code !== 0) {
      throw new Error(`the root image could not be built: ${describeEnd(end)}\n${tailOf(logFile, 25)}`);
    }
  } finally {
    abandon();
  }
}

/** apt, tar and the rest are of the build's session; its end is theirs. */
function endSession(pid: number | undefined): void {
  try {
    if (pid !== undefined) {
      process.kill(-pid, 'SIGKILL');
    }
  } catch {
    // nothing of it is left
  }
}

async function bootToFile(imageDir: string, machine: MachineOptions, file: string): Promise<void> {
  const part = `${file}.part`;
  const remove = (): boolean => {
    rmSync(part, { force: true });
    return false;
  };
  const options = { machine, imageDir, dir: ownFolder(), memoryImage: undefined, mortal: true };
  try {
    await interruptible(remove, async () => {
      const booted = await startMachine(options);
      await withMachine(booted, () => writeMemory(booted, part));
    });
    renameSync(part, file);
  } finally {
    remove();
  }
}
