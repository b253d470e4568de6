// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import type { Change } from '../../emulator/xenstore/operations.js';
import { ownedBy, readableBy, type Caller } from '../../emulator/xenstore/permissions.js';
import { watchedPaths, WatchList, type WatchEvent } from '../../emulator/xenstore/watches.js';

const BASE = '/local/domain/5';
const guest = { domid: 5 };
const visible = [readableBy(0, 5)];

function watching(...watched: string[]): WatchList {
  const list = new WatchList();
  for (const path of watched) list.add(path, `token of ${path}`, BASE);
  return list;
}

const match = (list: WatchList, change: Change, watcher: Caller, base = BASE): WatchEvent[] =>
  list.match(change, watchedPaths(change), watcher, base);

describe('xenstore watches', () => {
  const rows: { watched: string; changed: string; isExact?: boolean; reported: string[] }[] = [
    { watched: '/a', changed: '/a', reported: ['/a'] },
    { watched: '/a', changed: '/a/b/c', reported: ['/a/b/c'] },
    { watched: '/a', changed: '/ab', reported: [] },
    { watched: '/a/b', changed: '/a', reported: [] },
    { watched: '/', changed: '/a', reported: ['/a'] },
    { watched: 'device', changed: `${BASE}/device/vsnd`, reported: ['device/vsnd'] },
    { watched: `${BASE}/device`, changed: `${BASE}/device/vsnd`, reported: [`${BASE}/device/vsnd`] },
    { watched: '/a/b', changed: '/a/b', isExact: true, reported: ['/a/b'] },
    { watched: '/a', changed: '/a/b', isExact: true, reported: [] },
    { watched: '@releaseDomain', changed: '/a', reported: [] },
  ];
  for (const { watched, changed, isExact = false, reported } of rows) {
    const what = isExact ? 'has vanished with its parent' : 'changes';
    it(`on ${watched} report [${reported.join()}] when ${changed} ${what}`, () => {
      const events = match(watching(watched), { path: changed, isExact, visibleBy: visible }, guest);
      assert.deepEqual(
        events.map(({ path }) => path),
        reported,
      );
    });
  }

  it('say nothing of nodes that the watcher may not read', () => {
    const change = { path: '/a', isExact: false, visibleBy: [ownedBy(0)] };
    assert.deepEqual(match(watching('/a'), change, guest), []);
    assert.equal(match(watching('/a'), change, { domid: 0 }).length, 1);
  });

  it('tell a watcher who has just lost access', () => {
    const change = { path: '/a', isExact: false, visibleBy: [ownedBy(0), readableBy(0, 5)] };
    assert.equal(match(watching('/a'), change, guest).length, 1);
  });

  it('follow a relative path to the new home after a resume', () => {
    const change = { path: '/local/domain/9/device', isExact: false, visibleBy: [readableBy(0, 9)] };
    const [event] = match(watching('device'), change, { domid: 9 }, '/local/domain/9');
    assert.equal(event?.path, 'device');
  });

  it('report special events to dom0 alone', () => {
    assert.equal(watching('@releaseDomain').matchSpecial('@releaseDomain', { domid: 0 }).length, 1);
    assert.equal(watching('@releaseDomain').matchSpecial('@introduceDomain', { domid: 0 }).length, 0);
    assert.equal(watching('@releaseDomain').matchSpecial('@releaseDomain', guest).length, 0);
  });

  it('refuse the same path and token twice, also in the other form', () => {
    const list = new WatchList();
    list.add('device', 'token', BASE);
    assert.throws(() => list.add(`${BASE}/device`, 'token', BASE), { code: 'EEXIST' });
    list.add('device', 'other', BASE);
    assert.equal(list.size, 2);
  });

  it('end when asked, and only then', () => {
    const list = watching('/a');
    assert.throws(
      () => {
        list.remove('/a', 'no such token', BASE);
      },
      { code: 'ENOENT' },
    );
    list.remove('/a', 'token of /a', BASE);
    assert.equal(list.size, 0);
  });
});
