// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchFile } from '../../../../controller/adapters/system/watch-file.js';
import { FakeClock } from '../../../lib/fake-ports.js';
import { waitFor } from '../../../lib/wait.js';

describe('watchFile', () => {
  let directory: string;
  let path: string;
  let clock: FakeClock;
  let changes: number;
  let lost: string[];
  let stop: () => void;

  const start = (): void => {
    const onChange = (): void => {
      changes += 1;
    };
    stop = watchFile(path, clock, onChange, (why) => lost.push(why));
  };

  const noticed = (by = clock): Promise<boolean> => waitFor('a change to be noticed', () => by.pending === 1);

  /** One event: as editors do it. */
  const replace = async (file = path): Promise<void> => {
    await writeFile(`${file}.new`, 'a');
    await rename(`${file}.new`, file);
  };

  /** Resolves when the watchers of the folder have been told: another one has. */
  const replacedAndTold = async (file: string): Promise<void> => {
    const other = new FakeClock();
    const stopOther = watchFile(
      file,
      other,
      () => undefined,
      (why) => lost.push(why),
    );
    await replace(file);
    await noticed(other);
    stopOther();
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    path = join(directory, 'file');
    [clock, changes, lost, stop] = [new FakeClock(), 0, [], () => undefined];
  });

  afterEach(async () => {
    stop();
    assert.equal(clock.pending, 0, 'no timer stays');
    await rm(directory, { recursive: true, force: true });
  });

  it('takes several changes in a row for one', async () => {
    start();
    await replace();
    await noticed();
    await clock.advance(60);
    await replacedAndTold(path);
    await clock.advance(60);
    assert.equal(changes, 0);
    await clock.advance(40);
    assert.equal(changes, 1);
  });

  it('survives that the file goes and comes', async () => {
    start();
    for (const change of [replace, () => rm(path), replace, replace]) {
      const before = changes;
      await change();
      await noticed();
      await clock.advance(100);
      assert.equal(changes, before + 1);
    }
  });

  it('notices a file that is written in its place', async () => {
    await writeFile(path, 'a');
    start();
    await writeFile(path, 'b');
    await noticed();
  });

  it('looks at no other file of the folder', async () => {
    start();
    await replacedAndTold(`${path}.swp`);
    assert.equal(clock.pending, 0);
  });

  it('goes on in a folder that was made anew', async () => {
    start();
    await rm(directory, { recursive: true });
    await mkdir(directory);
    await noticed();
    await clock.advance(100);
    await replace();
    await noticed();
    await clock.advance(100);
    assert.deepEqual([changes, lost], [2, []]);
  });

  it('says when the folder has gone, and that the file has', async () => {
    start();
    await rm(directory, { recursive: true });
    await noticed();
    await clock.advance(100);
    assert.equal(changes, 1);
    assert.match(lost.join('\n'), /^ENOENT[^\n]*$/);
  });

  it('does not begin without the folder', async () => {
    await rm(directory, { recursive: true });
    assert.throws(start, { code: 'ENOENT' });
  });

  it('says nothing once stopped', async () => {
    start();
    await replace();
    await noticed();
    stop();
    await clock.advance(100);
    assert.equal(changes, 0);
  });
});
