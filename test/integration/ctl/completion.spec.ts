// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { COMMAND_NAMES } from '../../../controller/ctl/help.js';
import { toJson } from '../../../controller/ctl/show/json.js';
import { paths } from '../../lib/paths.js';
import { runCommand } from '../../lib/process.js';

const FILE = join(paths.root, 'packaging/completion/xen-audioctl.bash');
const GUESTS = toJson(
  [
    { id: 'u1', name: 'work' },
    { id: 'u2', name: 'wo rk' },
    { id: 'u3', name: 'play' },
  ],
  2,
);

/** What bash offers for the last of some words. */
const offered = async (...words: string[]): Promise<string[]> => {
  const script = `
    xen-audioctl() { printf '%s\\n' "$GUESTS"; }
    source "$FILE"
    COMP_WORDS=(xen-audioctl "$@") COMP_CWORD=$#
    _xen_audioctl
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { code, stdout, stderr } = await runCommand('bash', ['-c', script, 'bash', ...words], {
    env: { ...process.env, FILE, GUESTS },
  });
  assert.deepEqual([code, stderr], [0, '']);
  return stdout.split('\n').filter((line) => line !== '');
};

describe('the completion of xen-audioctl in bash', () => {
  it('knows all commands', async () => {
    const first = new Set(COMMAND_NAMES.map((name) => name.split(' ')[0]));

    assert.deepEqual((await offered('')).sort(), [...first].sort());
    assert.deepEqual(await offered('policy', ''), ['check', 'explain']);
  });

  it('knows the guests, where one is wanted', async () => {
    assert.deepEqual(await offered('show', ''), ['work', 'play']);
    assert.deepEqual(await offered('--bus', 'session', 'volume', 'w'), ['work']);
    assert.deepEqual(await offered('policy', 'explain', 'p'), ['play']);
    assert.deepEqual(await offered('list', ''), []);
    assert.deepEqual(await offered('migrate', ''), ['work', 'play']);
  });

  it('knows options and other words', async () => {
    assert.deepEqual(await offered('allow-mic', 'work', '--a'), ['--always']);
    assert.deepEqual(await offered('attach', 'work', '--k'), ['--kernel']);
    assert.deepEqual(await offered('--bus', 's'), ['system', 'session']);
    assert.deepEqual(await offered('mute', 'work', 'o'), ['on', 'off']);
    assert.deepEqual(await offered('route', 'work', ''), ['playback', 'capture']);
    assert.deepEqual(await offered('allow-mic', 'work', '--for', ''), ['15m', '1h', '8h']);
  });
});
