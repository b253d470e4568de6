// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { paths } from '../../lib/paths.js';
import { runCommand } from '../../lib/process.js';

const UNIT = join(paths.root, 'packaging/systemd/xen-audiod.service');
/** As `systemd-analyze security` counts, in tenths; below 20 it says "OK". */
const EXPOSURE_MAX = 16;

describe("xen-audiod's unit", () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('is what systemd understands', async () => {
    const unit = join(directory, 'xen-audiod.service');
    // Not installed here, and systemd looks whether it can be run.
    const text = (await readFile(UNIT, 'utf8')).replace('/usr/sbin/xen-audiod', process.execPath);
    await writeFile(unit, text);

    const { code, stderr } = await runCommand('systemd-analyze', ['verify', '--man=no', unit]);

    assert.deepEqual([code, stderr], [0, '']);
  });

  it('leaves the daemon few rights', async () => {
    const args = ['security', '--offline=true', `--threshold=${EXPOSURE_MAX}`, UNIT];

    const { code, stdout } = await runCommand('systemd-analyze', args);

    assert.equal(code, 0, stdout);
    assert.match(stdout, /Overall exposure level for xen-audiod\.service: \d/);
  });
});
