// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { checkMemory, hostSuite } from '../../xen-lab/system-check.js';

describe('a host for the lab', () => {
  it('is a Debian release whose packages are known', () => {
    assert.equal(hostSuite('NAME="Debian"\nVERSION_CODENAME=bookworm\n', 'x64'), 'bookworm');
    assert.equal(hostSuite('VERSION_CODENAME="trixie"\n', 'x64'), 'trixie');
    assert.throws(
      () => hostSuite('VERSION_CODENAME=noble\n', 'x64'),
      /release is 'noble'.*bookworm and trixie/,
    );
    assert.throws(() => hostSuite('NAME=Else\n', 'x64'), /release is 'unknown'/);
  });

  it('is an amd64 machine', () => {
    assert.throws(() => hostSuite('VERSION_CODENAME=bookworm\n', 'arm64'), /architecture is arm64/);
  });

  it('has as much memory free as a machine comes to use', () => {
    checkMemory('MemTotal: 1 kB\nMemAvailable:    3000000 kB\n', 2);
    assert.throws(() => {
      checkMemory('MemAvailable:    1048576 kB\n', 2);
    }, /2 GB of memory and 1\.0 are free: .*down/);
  });
});
