// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import {
  hostArguments,
  kernelArguments,
  machineArguments,
  memoryMib,
  quote,
  shellLine,
} from '../../xen-lab/machine-spec.js';

/** The value behind an option. */
function behind(args: readonly string[], option: string): string | undefined {
  return args[args.indexOf(option) + 1];
}

describe("xen-lab's machine, as QEMU is told", () => {
  it('counts instructions on one thread, or takes the time of the host on several', () => {
    const counting = machineArguments({ time: 'instructions', guests: 2 }, '/i');
    assert.equal(behind(counting, '-icount'), 'shift=0,sleep=off');
    assert.match(behind(counting, '-accel') ?? '', /thread=single/);
    const real = machineArguments({ time: 'real', guests: 2 }, '/i');
    assert.equal(real.includes('-icount'), false);
    assert.match(behind(real, '-accel') ?? '', /thread=multi/);
  });

  it('gives the kernel and its initramfs as two modules: no comma but the one between them', () => {
    const modules = behind(machineArguments({ time: 'real', guests: 2 }, '/i'), '-initrd')?.split(',') ?? [];
    assert.equal(modules.length, 2);
    assert.match(modules[0] ?? '', /^\/i\/vmlinux console=hvc0 .*lab\.role=dom0/);
    assert.equal(modules[1], '/i/initrd.cpio');
  });

  it('never writes to the image', () => {
    assert.match(behind(machineArguments({ time: 'real', guests: 0 }, '/i'), '-drive') ?? '', /readonly=on/);
  });

  it('has room for two more guests, and for no more than eight', () => {
    assert.equal(memoryMib(3) - memoryMib(2), 384);
    assert.equal(memoryMib(8), memoryMib(6));
  });

  it('lets nothing out of the machine and nothing in but ssh on the loopback', () => {
    const network = behind(hostArguments('/d', 4022, undefined), '-netdev');
    assert.equal(network, 'user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:4022-:22');
  });

  it('begins with a memory image when there is one', () => {
    assert.equal(hostArguments('/d', 1, undefined).includes('-incoming'), false);
    assert.equal(behind(hostArguments('/d', 1, "/a b's"), '-incoming'), "exec:cat '/a b'\\''s'");
  });

  it('tells each domain its number', () => {
    assert.match(kernelArguments(0), /lab\.role=dom0 lab\.number=0$/);
    assert.match(kernelArguments(5), /lab\.role=guest lab\.number=5$/);
  });
});

describe('a command for a shell elsewhere', () => {
  it('is a line of sh when it is one word, and passed as it is when it is several', () => {
    assert.equal(shellLine(['a; b']), 'a; b');
    assert.equal(shellLine(['echo', 'a; b', "it's", '']), "echo 'a; b' 'it'\\''s' ''");
  });

  it('quotes only what needs it', () => {
    assert.equal(quote('/usr/bin/x-1.2_3'), '/usr/bin/x-1.2_3');
    assert.equal(quote('$HOME'), "'$HOME'");
  });
});
