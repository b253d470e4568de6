// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { parseArguments } from '../../xen-lab/options.js';

describe("xen-lab's command line", () => {
  it('has two guests and counts instructions when not told otherwise', () => {
    const { verb, options } = parseArguments(['up']);
    assert.equal(verb, 'up');
    assert.deepEqual(options.machine, {
      time: 'instructions',
      guests: 2,
      guestConfigs: new Map(),
      cold: false,
      background: false,
    });
    assert.equal(options.dir, undefined);
  });

  it("leaves the command's own options alone", () => {
    const { command, options } = parseArguments(['exec', '--dir', '/d', 'ls', '--all', '-l']);
    assert.deepEqual(command, ['ls', '--all', '-l']);
    assert.equal(options.dir, '/d');
    assert.equal(options.all, false);
  });

  it("takes what follows '--' as the command", () => {
    assert.deepEqual(parseArguments(['exec', '--', '--odd-name']).command, ['--odd-name']);
  });

  it('tells the guest, and the folder to run in, from the command', () => {
    const guest = parseArguments(['guest', '--timeout', '5', '3', 'uname', '-a']);
    assert.deepEqual([guest.guest, guest.command, guest.options.timeoutMs], [3, ['uname', '-a'], 5000]);
    const run = parseArguments([
      'run',
      '--exclude',
      'a*',
      '--exclude',
      'b',
      '--results',
      'out',
      'src',
      'make',
    ]);
    assert.deepEqual([run.folder, run.command], ['src', ['make']]);
    assert.deepEqual([run.options.exclude, run.options.results], [['a*', 'b'], 'out']);
  });

  it("joins the lines of one guest's configuration", () => {
    const { options } = parseArguments([
      'up',
      '--guest-config',
      '2',
      'vsnd=[]',
      '--guest-config',
      '2',
      'vcpus=2',
    ]);
    assert.deepEqual(options.machine.guestConfigs, new Map([[2, 'vsnd=[]\nvcpus=2']]));
  });

  const refusals: [title: string, args: string[], message: RegExp][] = [
    ['a command it does not know', ['start'], /'start' is no command: say up, /],
    ['no command at all', [], /'' is no command/],
    ['an option of another command', ['down', '--cold'], /down has no option --cold: it has --dir/],
    ['an option without its value', ['up', '--guests'], /--guests needs a number behind it/],
    ['a time it does not know', ['up', '--time', 'virtual'], /say real or instructions/],
    ['more guests than there are configurations', ['up', '--guests', '9'], /from 0 to 8/],
    ['a guest that cannot be', ['guest', '0', 'true'], /guest 0: expected a number from 1 to 8/],
    ['a guest without a command', ['guest', '1'], /say which guest and what to run/],
    ['exec without a command', ['exec'], /say what to run/],
    ['run without a command', ['run', 'folder'], /say what to copy and what to run/],
    ['words behind a command that takes none', ['status', 'all'], /nothing but options, not 'all'/],
  ];
  for (const [title, args, message] of refusals) {
    it(`refuses ${title}`, () => {
      assert.throws(() => parseArguments(args), message);
    });
  }
});
