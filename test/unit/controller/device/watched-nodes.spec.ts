// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { WatchedNodes } from '../../../../controller/device/watched-nodes.js';

const STATE = '/backend/1/0/state';
const ONLINE = '/backend/1/0/online';

describe('WatchedNodes', () => {
  let asked: string[];
  let answer: (path: string) => Promise<string | undefined>;
  let nodes: WatchedNodes;

  beforeEach(() => {
    asked = [];
    answer = () => Promise.resolve(String(asked.length));
    nodes = new WatchedNodes({
      read: (path) => {
        asked.push(path);
        return answer(path);
      },
    });
  });

  it('reads a node once', async () => {
    assert.deepEqual(await Promise.all([nodes.read(STATE), nodes.read(STATE)]), ['1', '1']);
    assert.equal(await nodes.read(STATE), '1');
    assert.deepEqual(asked, [STATE]);
  });

  for (const [name, path, again] of [
    ['that node', STATE, [STATE]],
    ['the directory above', '/backend/1/0', [STATE, ONLINE]],
    ['all', undefined, [STATE, ONLINE]],
    ['a node below', `${STATE}/x`, []],
    ['one whose name begins alike', '/backend/1/0/on', []],
  ] as const) {
    it(`reads again what an event of ${name} concerns`, async () => {
      await nodes.read(STATE);
      await nodes.read(ONLINE);
      nodes.changed(path);
      await nodes.read(STATE);
      await nodes.read(ONLINE);
      assert.deepEqual(asked.slice(2), again);
    });
  }

  it('keeps nothing that was being read when it changed', async () => {
    const late = nodes.read(STATE);
    nodes.changed(STATE);
    await late;
    assert.equal(await nodes.read(STATE), '2');
  });

  it('keeps no failure, and none takes away what was read since', async () => {
    answer = () => Promise.reject(new Error('no'));
    const failing = nodes.read(STATE);
    nodes.changed(STATE);
    answer = () => Promise.resolve('yes');
    assert.equal(await nodes.read(STATE), 'yes');
    await assert.rejects(failing);
    assert.equal(await nodes.read(STATE), 'yes');

    answer = () => Promise.reject(new Error('no'));
    nodes.changed();
    await assert.rejects(nodes.read(STATE));
    answer = () => Promise.resolve('again');
    assert.equal(await nodes.read(STATE), 'again');
  });
});
