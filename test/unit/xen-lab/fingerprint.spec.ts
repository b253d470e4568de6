// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { imageKey, memoryKey } from '../../xen-lab/fingerprint.js';
import type { MachineOptions } from '../../xen-lab/options.js';

const machine: MachineOptions = {
  time: 'real',
  guests: 2,
  guestConfigs: new Map(),
  cold: false,
  background: false,
};

describe("a root image's name", () => {
  it('is the same for the same inputs in another order', () => {
    assert.equal(
      imageKey(
        new Map([
          ['a', '1'],
          ['b', '2'],
        ]),
      ),
      imageKey(
        new Map([
          ['b', '2'],
          ['a', '1'],
        ]),
      ),
    );
  });

  it('changes with a text and with a name', () => {
    const keys = [{ a: '1' }, { a: '2' }, { b: '1' }].map((inputs) =>
      imageKey(new Map(Object.entries(inputs))),
    );
    assert.equal(new Set(keys).size, 3);
  });
});

describe("a memory image's name", () => {
  it('changes with everything that shapes the machine', () => {
    const keys = [
      memoryKey(machine, '7.2'),
      memoryKey(machine, '10.0'),
      memoryKey({ ...machine, time: 'instructions' }, '7.2'),
      memoryKey({ ...machine, guests: 3 }, '7.2'),
      memoryKey({ ...machine, guestConfigs: new Map([[1, 'vsnd=[]']]) }, '7.2'),
      memoryKey({ ...machine, guestConfigs: new Map([[2, 'vsnd=[]']]) }, '7.2'),
    ];
    assert.equal(new Set(keys).size, keys.length);
  });

  it('does not depend on the order in which guests were configured', () => {
    const configs: [number, string][] = [
      [1, 'x'],
      [2, 'y'],
    ];
    const keys = [configs, configs.toReversed()].map((order) =>
      memoryKey({ ...machine, guestConfigs: new Map(order) }, '7.2'),
    );
    assert.equal(keys[0], keys[1]);
  });
});
