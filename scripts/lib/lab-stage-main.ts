// SPDX-License-Identifier: LGPL-2.1-or-later
/** lab-stage-main.js DIR: see lab-stage.ts. */
import { stageForLab } from './lab-stage.js';

const [dir] = process.argv.slice(2);
if (dir === undefined) {
  process.stderr.write('error: name the folder to make\n');
  process.exitCode = 2;
} else {
  await stageForLab(dir);
}
