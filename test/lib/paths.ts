// SPDX-License-Identifier: LGPL-2.1-or-later
/** Where things lie, whether this runs from the sources or from build/js. */
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = findRoot(here);

/** Absolute paths of the project. */
export const paths = {
  /** The project's root: where package.json lies. */
  root,
  /** The stand-in libraries and their test programs, built from test/emulator/stand-ins. */
  standInsDir: path.join(root, 'build', 'stand-ins'),
  /** The C core and the PulseAudio modules, built from pa-modules. */
  coreBuildDir: path.join(root, 'build', 'c'),
  /** The compiled emulator. */
  emulatorMain: path.resolve(here, '..', 'emulator', 'main.js'),
} as const;

function findRoot(from: string): string {
  if (fs.existsSync(path.join(from, 'package.json'))) return from;
  const parent = path.dirname(from);
  if (parent === from) throw new Error(`no package.json above ${here}: this file is not inside the project`);
  return findRoot(parent);
}
