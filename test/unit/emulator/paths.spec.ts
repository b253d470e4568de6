// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { canonicalise, canonicaliseNode, lineage, parentOf } from '../../emulator/xenstore/paths.js';

const BASE = '/local/domain/5';

describe('xenstore paths', () => {
  for (const { path, absolute } of [
    { path: '/', absolute: '/' },
    { path: '/a-b/c_d/E9', absolute: '/a-b/c_d/E9' },
    { path: 'device/vsnd/0', absolute: '/local/domain/5/device/vsnd/0' },
    { path: '@releaseDomain', absolute: '@releaseDomain' },
    { path: `/${'a'.repeat(3071)}`, absolute: `/${'a'.repeat(3071)}` },
  ]) {
    it(`reads '${path.slice(0, 30)}' as '${absolute.slice(0, 30)}'`, () => {
      assert.equal(canonicalise(path, BASE), absolute);
    });
  }

  for (const path of [
    '',
    '/a/',
    '/a//b',
    '//',
    'a b',
    '/a\n',
    '/ä',
    `/${'a'.repeat(3072)}`,
    'a'.repeat(2049),
    'a.b',
  ]) {
    it(`refuses ${JSON.stringify(path.slice(0, 30))}`, () => {
      assert.throws(() => canonicalise(path, BASE), { code: 'EINVAL' });
    });
  }

  it('has no node for a special watch', () => {
    assert.throws(() => canonicaliseNode('@releaseDomain', BASE), { code: 'EINVAL' });
  });

  it('knows parents and ancestors by whole names', () => {
    assert.equal(parentOf('/a/b'), '/a');
    assert.equal(parentOf('/a'), '/');
    assert.equal(parentOf('/'), undefined);
    assert.deepEqual(lineage('/ab/c'), ['/ab/c', '/ab', '/']);
    assert.deepEqual(lineage('/'), ['/']);
  });
});
