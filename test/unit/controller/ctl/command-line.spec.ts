// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { parseCommandLine, type Invocation } from '../../../../controller/ctl/command-line.js';
import { COMMAND_NAMES } from '../../../../controller/ctl/help.js';
import { CommandError, Status } from '../../../../controller/ctl/status.js';

const parse = (line: string, env: NodeJS.ProcessEnv = {}): Invocation =>
  parseCommandLine(line === '' ? [] : line.split(' '), env, () => '1.2.3');

const command = (line: string): unknown => {
  const invocation = parse(line);
  assert.equal(invocation.kind, 'command');
  return invocation.command;
};

/** Command line, what it means. */
const GOOD: readonly (readonly [string, unknown])[] = [
  ['list', { name: 'list' }],
  ['show work', { name: 'show', guest: 'work' }],
  ['volume work', { name: 'volume', guest: 'work', change: undefined }],
  ['volume work 80', { name: 'volume', guest: 'work', change: { relative: false, percent: 80 } }],
  ['volume work 62.5%', { name: 'volume', guest: 'work', change: { relative: false, percent: 62.5 } }],
  ['volume work +5', { name: 'volume', guest: 'work', change: { relative: true, percent: 5 } }],
  ['volume work -5', { name: 'volume', guest: 'work', change: { relative: true, percent: -5 } }],
  ['volume -- work -5', { name: 'volume', guest: 'work', change: { relative: true, percent: -5 } }],
  ['mute work', { name: 'mute', guest: 'work', mute: 'on' }],
  ['mute work off', { name: 'mute', guest: 'work', mute: 'off' }],
  ['allow-mic work', { name: 'allow-mic', guest: 'work', leave: 'once' }],
  ['allow-mic --once work', { name: 'allow-mic', guest: 'work', leave: 'once' }],
  ['allow-mic work --always', { name: 'allow-mic', guest: 'work', leave: 'always' }],
  ['allow-mic work --for 90', { name: 'allow-mic', guest: 'work', leave: { seconds: 90 } }],
  ['allow-mic work --for 15m', { name: 'allow-mic', guest: 'work', leave: { seconds: 900 } }],
  ['allow-mic work --for=24h', { name: 'allow-mic', guest: 'work', leave: { seconds: 86_400 } }],
  ['deny-mic work', { name: 'deny-mic', guest: 'work' }],
  ['attach work', { name: 'attach', guest: 'work', layout: 'modules' }],
  ['attach work --kernel', { name: 'attach', guest: 'work', layout: 'kernel' }],
  ['detach work', { name: 'detach', guest: 'work', devid: undefined }],
  ['detach work 1', { name: 'detach', guest: 'work', devid: 1 }],
  ['route work playback usb', { name: 'route', guest: 'work', direction: 'playback', device: 'usb' }],
  ['route work capture', { name: 'route', guest: 'work', direction: 'capture', device: '' }],
  ['policy check a.yaml', { name: 'policy check', file: 'a.yaml' }],
  ['policy explain work', { name: 'policy explain', guest: 'work' }],
  ['prepare-suspend 7', { name: 'prepare-suspend', guest: '7' }],
  ['save work a.img', { name: 'save', guest: 'work', operand: 'a.img', options: [] }],
  ['save work a.img -- -c', { name: 'save', guest: 'work', operand: 'a.img', options: ['-c'] }],
  ['migrate 7 host -- -s 5', { name: 'migrate', guest: '7', operand: 'host', options: ['-s', '5'] }],
  ['restore a.img -- -p', { name: 'restore', file: 'a.img', options: ['-p'] }],
];

/** Command line, what the complaint says. */
const BAD: readonly (readonly [string, RegExp])[] = [
  ['', /^no command$/],
  ['dance', /^'dance' is no command$/],
  ['policy', /say 'policy check' or 'policy explain'/],
  ['policy check', /needs more/],
  ['show', /^'show' needs more than that$/],
  ['show a b', /^'show' does not take 'b'$/],
  ['show work --kernel', /^'show' has no option --kernel$/],
  ['list --colour', /--colour/],
  ['volume work loud', /^volume 'loud': say a percentage/],
  ['volume work 1e9', /^volume '1e9'/],
  ['volume work -5 -6', /does not take '-6'/],
  ['mute work maybe', /^mute 'maybe': say on, off, toggle$/],
  ['allow-mic work --once --always', /say one of --once, --for DURATION and --always/],
  ['allow-mic work --for 0', /^--for '0'/],
  ['allow-mic work --for 25h', /one day at most/],
  ['allow-mic work --for -5', /--for/],
  ['save work', /^'save' needs more than that$/],
  ['save work a.img -c', /-c/],
  ['detach work 65536', /^card '65536'/],
  ['route work sideways', /^direction 'sideways': say playback, capture$/],
  ['--timeout 0 list', /^--timeout '0'/],
  ['--timeout soon list', /^--timeout 'soon'/],
  ['--timeout 3601 list', /^--timeout '3601'/],
];

describe('the command line of xen-audioctl', () => {
  for (const [line, meaning] of GOOD) {
    it(`reads '${line}'`, () => {
      assert.deepEqual(command(line), meaning);
    });
  }

  for (const [line, complaint] of BAD) {
    it(`refuses '${line}' and says what is right`, () => {
      assert.throws(
        () => parse(line),
        (error) =>
          error instanceof CommandError && error.status === Status.usage && complaint.test(error.message),
      );
    });
  }

  it('takes options before and behind the command', () => {
    const { kind, ...rest } = parse('--bus session list --json --timeout 1.5');

    assert.deepEqual(
      [kind, rest],
      ['command', { command: { name: 'list' }, json: true, bus: 'session', timeoutMs: 1500 }],
    );
  });

  it('looks for the daemon where the environment says, unless an option says otherwise', () => {
    const bus = (line: string, env: NodeJS.ProcessEnv): unknown => {
      const invocation = parse(line, env);
      return invocation.kind === 'command' && invocation.bus;
    };

    assert.equal(bus('list', {}), 'system');
    assert.equal(bus('list', { XEN_AUDIO_BUS: '' }), 'system');
    assert.equal(bus('list', { XEN_AUDIO_BUS: 'session' }), 'session');
    assert.equal(bus('list --bus unix:path=/x', { XEN_AUDIO_BUS: 'session' }), 'unix:path=/x');
  });

  it('explains itself and each of its commands', () => {
    const text = (line: string): string => {
      const invocation = parse(line);
      return invocation.kind === 'text' ? invocation.text : '';
    };

    assert.match(text('--help'), /^Usage: xen-audioctl \[OPTION\]\.\.\. COMMAND/);
    assert.equal(text('--version'), 'xen-audioctl 1.2.3\n');
    for (const name of COMMAND_NAMES) {
      assert.ok(text('--help').includes(`  ${name} `), name);
      assert.ok(text(`${name} --help`).startsWith(`Usage: xen-audioctl [OPTION]... ${name}`), name);
      assert.ok(
        text(`${name} --help`)
          .split('\n')
          .every((line) => line.length <= 110),
        name,
      );
    }
  });
});
