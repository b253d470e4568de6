// SPDX-License-Identifier: LGPL-2.1-or-later
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { music, MUSIC_DIR } from '../../test/lib/e2e-signals.js';
import { paths } from '../../test/lib/paths.js';

/** Large, and of no use at run time. */
const BUILD_TOOLS = /^(?:typescript|prettier|eslint|@eslint|typescript-eslint|@typescript-eslint|@types)$/;
/** For people and compilers. */
const NOT_RUN = /\.(?:map|ts|cts|mts|md|markdown|flow|h|cc|o)$/;
const MUSIC_SECONDS = 60;

/**
 * Gathers in a folder, made anew, what the end-to-end tests need in the dom0 of scripts/xen-lab, and nothing else.
 *
 * @throws Error when something is not built
 */
export async function stageForLab(dir: string): Promise<void> {
  rmSync(dir, { recursive: true, force: true });
  for (const rate of [44_100, 48_000]) {
    await music(rate, MUSIC_SECONDS); // kept in MUSIC_DIR; the lab has no decoder
  }
  const modules = readdirSync(paths.coreBuildDir).filter((name) => name.endsWith('.so'));
  const files = [
    'package.json',
    '.mocharc.json',
    'packaging',
    'build/js',
    MUSIC_DIR,
    ...modules.map((name) => join('build/c', name)),
    ...['delay-probe', 'hostile-frontend', 'latency-probe'].map((name) => join('build/e2e-tools', name)),
  ];
  for (const file of files) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    cpSync(join(paths.root, file), join(dir, file), { recursive: true });
  }
  const packages = join(paths.root, 'node_modules');
  cpSync(packages, join(dir, 'node_modules'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) =>
      !NOT_RUN.test(source) && (dirname(source) !== packages || !BUILD_TOOLS.test(basename(source))),
  });
}
