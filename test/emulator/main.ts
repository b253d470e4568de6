// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * The emulated Xen: `node main.js --dir DIR --lib BUILD_DIR_OF_STAND_INS`. Makes DIR, prints `ready` when everything
 * works, and removes DIR again on SIGTERM or SIGINT.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { DOM0 } from './control-protocol.js';
import { ControlServer } from './control.js';
import { Domains, STAND_INS } from './domains.js';

const USAGE = 'usage: main.js --dir DIR --lib BUILD_DIR_OF_STAND_INS';

/** @throws Error that says what to do */
function readArguments(): { directory: string; standInsDirectory: string } {
  const { values } = parseArgs({ options: { dir: { type: 'string' }, lib: { type: 'string' } } });
  if (values.dir === undefined || values.lib === undefined) throw new Error(USAGE);
  const standInsDirectory = path.resolve(values.lib);
  for (const library of STAND_INS) {
    const file = path.join(standInsDirectory, library);
    if (!fs.existsSync(file))
      throw new Error(`${file} is missing: build test/emulator/stand-ins with meson first`);
  }
  const directory = path.resolve(values.dir);
  if (fs.existsSync(directory))
    throw new Error(`${directory} exists: choose another --dir, or stop who uses it`);
  return { directory, standInsDirectory };
}

async function start(): Promise<void> {
  const { directory, standInsDirectory } = readArguments();
  // So that whoever asks this process to end before it is ready still gets the directory removed.
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    const domains = new Domains({
      directory,
      standInsDirectory,
      log: (text) => process.stderr.write(`${text}\n`),
    });
    const control = new ControlServer(domains);
    await domains.createHost(DOM0);
    await control.listen(path.join(directory, 'control.sock'));
    process.stdout.write('ready\n');
    await stopped;
    control.close();
    domains.close();
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

start().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`emulator: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
