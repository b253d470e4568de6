// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** The folder of package.json: above the sources, and above build/js. */
const findRoot = (from: string): string => {
  if (existsSync(join(from, 'package.json'))) return from;
  const parent = dirname(from);
  if (parent === from) throw new Error(`no package.json above ${fileURLToPath(import.meta.url)}`);
  return findRoot(parent);
};

const root = findRoot(dirname(fileURLToPath(import.meta.url)));

/** A file of the package, by its path below the folder of package.json. */
export const packageFile = (path: string): string => readFileSync(join(root, path), 'utf8');

/** The version of xen-audio. */
export const version = (): string =>
  z.object({ version: z.string() }).parse(JSON.parse(packageFile('package.json'))).version;
