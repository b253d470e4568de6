// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { generatedFiles, guestConfig, hostsFile } from '../../xen-lab/guest-files.js';

describe("the lab's guests", () => {
  it('have a name, an identity and a network card of their own', () => {
    for (const key of ['name', 'uuid', 'vif']) {
      const values = [1, 2, 8].map((n) => new RegExp(`^${key} = (.*)$`, 'm').exec(guestConfig(n))?.[1]);
      assert.equal(new Set(values).size, 3, key);
    }
  });

  it('have their number as the last octet of card and address', () => {
    assert.match(guestConfig(7), /mac=00:16:3e:00:00:07,/);
    assert.match(hostsFile(), /^10\.9\.9\.7 guest7$/m);
  });

  it('share the image, which none of them can write', () => {
    assert.match(guestConfig(1), /access=ro,.*target=\/dev\/vda/);
  });

  it('have no sound card of their own', () => {
    assert.doesNotMatch(guestConfig(1), /vsnd/);
  });

  it('are eight', () => {
    const configs = [...generatedFiles().keys()].filter((name) => name.startsWith('etc/xen/'));
    assert.equal(configs.length, 8);
    assert.equal(configs.includes('etc/xen/guest8.cfg'), true);
  });
});
