// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { differences } from '../../../../controller/util/differences.js';

describe('differences', () => {
  it('finds none between equals', () => {
    assert.deepEqual(differences({ a: [1, 2], b: { c: 'x' } }, { b: { c: 'x' }, a: [1, 2] }), []);
  });

  it('names what is changed, new or gone, each by its path', () => {
    const before = { a: [1], b: { c: 1, d: 2 }, e: 5 };
    const after = { a: [1, 2], b: { c: 1, d: 3, f: 4 } };

    assert.deepEqual(differences(before, after), ['a', 'b.d', 'b.f', 'e']);
  });
});
