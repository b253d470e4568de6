// SPDX-License-Identifier: LGPL-2.1-or-later
/** The command behind scripts/xen-lab, which holds the help text. */
import { join, resolve } from 'node:path';

import {
  cacheDir,
  ensureImage,
  ensureMemory,
  imageFolder,
  removeImages,
  removeUnfinished,
  withCacheLock,
} from './cache.js';
import { copyIn, copyResults, RUN_DIR } from './copy.js';
import { isRunning, readDescription, runningMachine, type MachineDescription } from './description.js';
import { ownFolder, removeDeadFolders, sharedFolder } from './folders.js';
import { takeInterrupts } from './interrupt.js';
import { startMachine, stopMachine, withMachine } from './machine.js';
import { shellLine } from './machine-spec.js';
import { parseArguments, type Invocation, type MachineOptions } from './options.js';
import { step } from './progress.js';
import { runAttached, runInDom0 } from './shell.js';

const STATUS_TIMEOUT_MS = 20_000;

/** Makes the images that are missing, and starts a machine from them. */
async function start(machine: MachineOptions, dir: string, mortal: boolean): Promise<MachineDescription> {
  const imageDir = await ensureImage();
  const memoryImage = machine.cold ? undefined : await ensureMemory(imageDir, machine);
  const title = memoryImage === undefined ? 'machine: boot' : 'machine: resume';
  return step(title, () => startMachine({ machine, imageDir, dir, memoryImage, mortal }));
}

async function up(options: MachineOptions, dir: string): Promise<number> {
  const machine = await start(options, dir, false);
  process.stdout.write(`${JSON.stringify(machine, null, 2)}\n`);
  return 0;
}

/** A machine for one command, in a folder that no other process uses. */
async function run({ options, folder, command }: Invocation): Promise<number> {
  const dir = options.dir ?? ownFolder();
  const machine = await start(options.machine, dir, true);
  return withMachine(machine, async () => {
    await step(`${folder}: copy to dom0`, () => copyIn(machine, folder, options.exclude));
    const line = `cd ${RUN_DIR} && ${shellLine(command)}`;
    const code = await runAttached({ machine, guest: 0 }, line, options.timeoutMs);
    const { results } = options;
    if (results !== undefined) {
      await step(`${results}: copy from dom0`, () => copyResults(machine, results));
    }
    return code;
  });
}

async function down(dir: string): Promise<number> {
  const machine = readDescription(dir);
  if (machine === undefined) {
    throw new Error(`no machine in ${dir}`);
  }
  await stopMachine(machine);
  return 0;
}

async function status(dir: string, json: boolean): Promise<number> {
  const machine = readDescription(dir);
  const running = machine !== undefined && isRunning(machine);
  const domains = running ? (await runInDom0(machine, 'xl list', STATUS_TIMEOUT_MS)).stdout.trimEnd() : '';
  const ok = domains !== '';
  const state = ok ? 'up' : running ? 'dom0 does not answer' : 'no machine runs';
  const text = json
    ? JSON.stringify({ ok, running, machine: machine ?? null, domains }, null, 2)
    : `${dir}: ${state}`;
  process.stdout.write(`${text}\n${json || !ok ? '' : `${domains}\n`}`);
  return ok ? 0 : 1;
}

/** Removes what nothing uses: images of former sources (with --all: every image), what killed runs have left. */
async function clean(all: boolean): Promise<number> {
  const current = all ? undefined : imageFolder();
  const used = await withCacheLock(() => {
    removeUnfinished(cacheDir());
    return removeImages((name) => join(cacheDir(), name) !== current);
  });
  for (const name of used) {
    process.stderr.write(`kept ${join(cacheDir(), name)}: a machine runs from it\n`);
  }
  removeDeadFolders();
  return 0;
}

async function main(): Promise<number> {
  const invocation = parseArguments(process.argv.slice(2));
  const { verb, options, guest, command } = invocation;
  const dir = options.dir === undefined ? sharedFolder() : resolve(options.dir);
  switch (verb) {
    case 'up':
      return up(options.machine, dir);
    case 'exec':
    case 'guest':
      return runAttached({ machine: runningMachine(dir), guest }, shellLine(command), options.timeoutMs);
    case 'run':
      return run(invocation);
    case 'down':
      return down(dir);
    case 'status':
      return status(dir, options.json);
    case 'clean':
      return clean(options.all);
  }
}

takeInterrupts();
try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
