// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import {
  formatPermissions,
  inherit,
  isAllowed,
  parsePermissions,
  type Access,
} from '../../emulator/xenstore/permissions.js';

describe('xenstore permissions', () => {
  const rows: { permissions: string[]; domid: number; allowed: Access[] }[] = [
    { permissions: ['n5'], domid: 0, allowed: ['read', 'write', 'own'] },
    { permissions: ['n5'], domid: 5, allowed: ['read', 'write', 'own'] },
    { permissions: ['n5'], domid: 6, allowed: [] },
    { permissions: ['r5'], domid: 6, allowed: ['read'] },
    { permissions: ['n0', 'r5'], domid: 5, allowed: ['read'] },
    { permissions: ['n0', 'w5'], domid: 5, allowed: ['write'] },
    { permissions: ['n0', 'b5'], domid: 5, allowed: ['read', 'write'] },
    { permissions: ['b0', 'n5'], domid: 5, allowed: [] },
    { permissions: ['b0', 'n5'], domid: 6, allowed: ['read', 'write'] },
  ];
  for (const { permissions, domid, allowed } of rows) {
    it(`${permissions.join(',')} gives domain ${domid}: ${allowed.join(', ') || 'nothing'}`, () => {
      const parsed = parsePermissions(permissions);
      const all: Access[] = ['read', 'write', 'own'];
      assert.deepEqual(
        all.filter((access) => isAllowed({ domid }, parsed, access)),
        allowed,
      );
      assert.deepEqual(formatPermissions(parsed), permissions);
    });
  }

  it('lets a domain act for its target', () => {
    const permissions = parsePermissions(['n5', 'r7']);
    assert.ok(isAllowed({ domid: 9, targetDomid: 5 }, permissions, 'own'));
    assert.ok(isAllowed({ domid: 9, targetDomid: 7 }, permissions, 'read'));
  });

  it('makes a domain, but not dom0, the owner of what it creates', () => {
    const parent = parsePermissions(['n5', 'r7']);
    assert.deepEqual(formatPermissions(inherit(parent, { domid: 0 })), ['n5', 'r7']);
    assert.deepEqual(formatPermissions(inherit(parent, { domid: 6 })), ['n6', 'r7']);
  });

  for (const text of ['', 'r', '5', 'x5', 'r-1', 'r65536', 'r5 ']) {
    it(`refuses '${text}'`, () => {
      assert.throws(() => parsePermissions([text]), { code: 'EINVAL' });
    });
  }

  it('refuses an empty list', () => {
    assert.throws(() => parsePermissions([]), { code: 'EINVAL' });
  });
});
