// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ApiError } from '../../../controller/api/audio-api.js';
import { OwnedProcess, runCommand, type CommandResult } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';
import { DbusBench, FIRST } from '../controller/dbus-support.js';

const MAIN = fileURLToPath(new URL('../../../controller/ctl/main.js', import.meta.url));
const TEST_MS = 60_000;
const WAIT_MS = 20_000;

/** With the daemon's own side of D-Bus: both keep to packaging/dbus, and so to one another. */
describe("xen-audioctl and the daemon's service", function () {
  this.timeout(TEST_MS);

  let bench: DbusBench;

  beforeEach(async () => {
    bench = new DbusBench({ ownUid: process.geteuid?.() });
    await bench.start();
  });

  afterEach(async () => {
    await bench.stop();
  });

  const ctl = (...args: string[]): Promise<CommandResult> =>
    runCommand(process.execPath, [MAIN, '--bus', bench.bus.address, ...args]);

  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ctl(...args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };

  it('agree on guests and their streams', async () => {
    const [guest] = JSON.parse(await ok('list', '--json')) as Record<string, unknown>[];

    assert.equal(guest?.['name'], FIRST.name);
    assert.equal(guest['volume'], 1);
    assert.equal((guest['streams'] as { positionFrames: number }[])[0]?.positionFrames, 123_456_789_012);
    assert.match(await ok('show', FIRST.uuid), /\nvsnd-0\/0\/0 /);
  });

  it('agree on what is asked for', async () => {
    const { id, name } = FIRST;
    for (const [args, call] of [
      [
        ['volume', name, '50'],
        ['setVolume', id, 32_768],
      ],
      [
        ['mute', name],
        ['setMute', id, true],
      ],
      [
        ['allow-mic', name, '--for', '1m'],
        ['allowCaptureFor', id, 60],
      ],
      [
        ['attach', name],
        ['attach', name, 'modules'],
      ],
      [
        ['route', name, 'playback', 'usb'],
        ['setRoute', id, 'playback', 'usb'],
      ],
    ] as const) {
      await ok(...args);
      const [method, ...values] = call;
      assert.equal(bench.api.calls.at(-1), `${method}(${JSON.stringify(values)})`);
    }
    assert.match(await ok('policy', 'explain', name), /\ncapture +ask +rule 2\n/);
  });

  it('agree on refusals', async () => {
    assert.equal((await ctl('show', 'nobody')).code, 4);
    bench.api.hold = () => Promise.reject(new ApiError('PolicyDenied', 'policy denies it'));
    const { code, stderr } = await ctl('allow-mic', FIRST.name);
    assert.equal(code, 6);
    assert.match(stderr, /^xen-audioctl: policy denies it\n/);
  });

  it('agree on what changes', async () => {
    const monitor = OwnedProcess.start(
      'monitor',
      process.execPath,
      [MAIN, '--bus', bench.bus.address, 'monitor', '--json'],
      { pipe: { stdout: true } },
    );
    const lines: string[] = [];
    createInterface({ input: monitor.stdout }).on('line', (line) => lines.push(line));
    const said = (what: RegExp): Promise<boolean> =>
      waitFor(`a line with ${what.source}`, () => what.test(lines.at(-1) ?? ''), {
        timeoutMs: WAIT_MS,
        detail: () => lines.join('\n'),
      });
    try {
      await said(/"event":"guest"/);
      await waitFor('levels', () => bench.api.calls.includes('showLevels([true])'));

      bench.api.change(FIRST.id, { mute: true });
      await said(/"mute":true/);
      bench.api.guestStates = [];
      bench.api.changed();
      await said(/"event":"gone"/);

      assert.equal((await monitor.stop({ signal: 'SIGINT', timeoutMs: WAIT_MS })).code, 0);
      await waitFor('levels to stop', () => bench.api.calls.includes('showLevels([false])'));
    } finally {
      await monitor.kill();
    }
  });
});
