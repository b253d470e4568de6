// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { ApiError } from '../../../../controller/api/audio-api.js';
import { findGuest, type Named } from '../../../../controller/api/find-guest.js';

const UUIDS = ['6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10', '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b11'] as const;

describe('a guest argument', () => {
  const domains: Named[] = [
    { domid: 5, name: 'music', uuid: UUIDS[0] },
    { domid: 6, name: 'twin', uuid: '' },
    { domid: 7, name: 'twin', uuid: '' },
    { domid: 8, name: '5', uuid: '' },
    { domid: 9, name: UUIDS[0], uuid: UUIDS[1] },
    { domid: 10, name: '', uuid: '' },
  ];
  const refusal = (text: string): string => {
    try {
      return `domain ${findGuest(domains, text).domid}`;
    } catch (error) {
      return error instanceof ApiError ? `${error.code}: ${error.message}` : String(error);
    }
  };

  it('is a name, a UUID in any case, or a number', () => {
    assert.equal(findGuest(domains, 'music').domid, 5);
    assert.equal(findGuest(domains, UUIDS[1].toUpperCase()).domid, 9);
    assert.equal(findGuest(domains, '7').domid, 7);
  });

  it('of the form of a UUID or a number is never a name', () => {
    assert.equal(findGuest(domains, UUIDS[0]).domid, 5);
    assert.equal(findGuest(domains, '5').domid, 5);
    assert.match(refusal('05'), /^NoSuchGuest/);
  });

  it('that means two is refused, with their numbers', () => {
    assert.match(refusal('twin'), /^AmbiguousGuest: "twin": 2 guests have this name; say which: 6, 7/);
  });

  it('that means nobody is refused, escaped', () => {
    assert.match(refusal('a\u001b[2J'), /^NoSuchGuest: "a\\u001b\[2J": no such guest; there are music, twin/);
    for (const text of ['', 'Music', '11', '99999999999999999999'])
      assert.match(refusal(text), /^NoSuchGuest/);
  });
});
