// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { deviceOfBackendPath, tryParseDeviceId } from '../../../../controller/xenbus/paths.js';
import { describeState, parseXenbusState } from '../../../../controller/xenbus/state.js';

const ROOT = '/local/domain/0/backend/vsnd';

describe('paths', () => {
  it('finds the device that a changed path belongs to', () => {
    for (const path of [`${ROOT}/7/0`, `${ROOT}/7/0/state`, `${ROOT}/7/0/a/b`]) {
      assert.deepEqual(deviceOfBackendPath(0, path), { domid: 7, devid: 0 });
    }
  });

  it('finds none in other paths', () => {
    for (const path of [
      ROOT,
      `${ROOT}/7`,
      `${ROOT}/x/0`,
      `${ROOT}/7/-1`,
      '/local/domain/0/backend/vsndx/7/0',
    ]) {
      assert.equal(deviceOfBackendPath(0, path), undefined);
    }
  });

  it('takes no domid of the reserved range', () => {
    assert.equal(tryParseDeviceId('32752', '0'), undefined);
    assert.deepEqual(tryParseDeviceId('32751', '65535'), { domid: 32751, devid: 65535 });
  });
});

describe('XenbusState', () => {
  it('reads anything but one digit up to 8 as unknown', () => {
    for (const text of [undefined, '', '9', '44', '4 ', '-1', 'four'])
      assert.equal(parseXenbusState(text), 0);
    assert.equal(describeState(parseXenbusState('4')), '4 Connected');
  });
});
