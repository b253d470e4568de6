// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PrivateBus } from '../../host/private-bus.js';
import { FakeAudioService } from '../../lib/fake-audio-service.js';
import { OwnedProcess, runCommand } from '../../lib/process.js';
import { PseudoTerminal } from '../../lib/pseudo-terminal.js';
import { waitFor, within } from '../../lib/wait.js';

const MAIN = fileURLToPath(new URL('../../../controller/ctl/main.js', import.meta.url));
/** A program starts slowly on a busy machine. */
const TEST_MS = 60_000;
const WAIT_MS = 20_000;
/** The user's own screen and cursor. */
const RESTORED = '\x1b[?25h\x1b[?1049l';

describe('xen-audioctl monitor', function () {
  this.timeout(TEST_MS);

  let directory: string;
  let bus: PrivateBus;
  let daemon: FakeAudioService;
  let work: string;
  let stream: string;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    bus = new PrivateBus(directory);
    await bus.start();
    env = { ...process.env, XEN_AUDIO_BUS: bus.address, TERM: 'xterm' };
  });

  after(async () => {
    await bus.stop();
    await rm(directory, { recursive: true });
  });

  beforeEach(async () => {
    await startDaemon();
  });

  afterEach(() => {
    daemon.stop();
  });

  const startDaemon = async (): Promise<void> => {
    daemon = await FakeAudioService.start(bus.address);
    work = daemon.addGuest('u1', { PlaybackActive: true });
    stream = daemon.addStream(work, 's0_0_0');
  };

  const inTerminal = async (
    size: readonly [number, number],
    test: (terminal: PseudoTerminal) => Promise<void>,
  ): Promise<void> => {
    const terminal = PseudoTerminal.start([process.execPath, MAIN, 'monitor'], size, env);
    try {
      await test(terminal);
    } finally {
      await terminal.kill();
    }
  };

  const shows = (terminal: PseudoTerminal, what: RegExp): Promise<boolean> =>
    waitFor(`a picture with ${what.source}`, () => what.test(terminal.picture), {
      timeoutMs: WAIT_MS,
      detail: () => terminal.picture,
    });

  it('shows guests, and redraws what changes', async () => {
    await inTerminal([80, 24], async (terminal) => {
      await shows(terminal, /^GUEST .*\nwork +connected +#{11}\. +80 % +- +0 +on request/);
      await waitFor('levels to be asked for', () => daemon.levels === 1);

      daemon.change(stream, { Level: 0.1, Underruns: 7n });
      daemon.change(work, { LatencyUsec: 5_500n, Mute: true });
      await shows(terminal, /\nwork .* #{8}\.{4} +muted +5\.5 ms +7 /);

      daemon.remove(stream);
      daemon.remove(work);
      await shows(terminal, /^No guest has a sound card/);
    });
  });

  for (const [name, keys] of [
    ['q', 'q'],
    ['Ctrl-C', '\x03'],
  ] as const) {
    it(`ends at ${name}, and leaves terminal and daemon as they were`, async () => {
      await inTerminal([80, 24], async (terminal) => {
        await shows(terminal, /\nwork /);

        terminal.type(keys);

        const end = await within('the end', WAIT_MS, terminal.ended);
        assert.equal(end.code, 0);
        assert.ok(terminal.output.endsWith(RESTORED), JSON.stringify(terminal.output.slice(-60)));
        await waitFor('the levels to stop', () => daemon.levels === 0);
      });
    });
  }

  it('restores the terminal when it is told to stop by a signal', async () => {
    await inTerminal([80, 24], async (terminal) => {
      await shows(terminal, /\nwork /);

      process.kill(await terminal.programPid(), 'SIGTERM');

      assert.equal((await within('the end', WAIT_MS, terminal.ended)).code, 0);
      assert.ok(terminal.output.endsWith(RESTORED));
    });
  });

  it('fits the terminal, also when that changes its size', async () => {
    await inTerminal([80, 24], async (terminal) => {
      await shows(terminal, /MICROPHONE/);

      await terminal.resize(30, 6);

      await shows(terminal, /^GUEST +PLAYBACK *\n/);
      for (const line of terminal.picture.split('\n')) assert.ok(line.length <= 30, line);
    });
  });

  it('draws ten pictures a second at most', async () => {
    await inTerminal([80, 24], async (terminal) => {
      await shows(terminal, /\nwork /);
      const pictures = (): number => terminal.output.split('\x1b[H').length;
      const [before, start] = [pictures(), performance.now()];

      for (let count = 1; count <= 200; count++) daemon.change(stream, { Underruns: BigInt(count) });
      await shows(terminal, / 200 /);

      const allowed = Math.ceil((performance.now() - start) / 100) + 1;
      assert.ok(pictures() - before <= allowed, `${pictures() - before} pictures, not more than ${allowed}`);
    });
  });

  it('waits for a daemon that is away, and goes on when it is back', async () => {
    await inTerminal([80, 24], async (terminal) => {
      await shows(terminal, /\nwork /);
      daemon.stop();
      await shows(terminal, /^xen-audiod is not running; waiting for it/);

      await startDaemon();

      await shows(terminal, /\nwork /);
      await waitFor('levels to be asked for', () => daemon.levels === 1);
    });
  });

  it('restores the terminal when the bus goes', async () => {
    const other = new PrivateBus(join(directory, 'other'));
    await other.start();
    const fake = await FakeAudioService.start(other.address);
    const terminal = PseudoTerminal.start([process.execPath, MAIN, 'monitor'], [80, 24], {
      ...env,
      XEN_AUDIO_BUS: other.address,
    });
    try {
      await shows(terminal, /^No guest/);
      fake.stop();
      await other.stop();

      assert.equal((await within('the end', WAIT_MS, terminal.ended)).code, 3);
      const [, message = ''] = terminal.output.split(RESTORED);
      assert.match(message, /^xen-audioctl: cannot reach the bus /);
    } finally {
      await terminal.kill();
      await other.stop();
    }
  });

  it('refuses an output that is no terminal, and says what to say instead', async () => {
    const { code, stdout, stderr } = await runCommand(process.execPath, [MAIN, 'monitor'], { env });

    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /'monitor' draws in a terminal.*--json/);
  });

  it('prints lines of JSON where it is asked to', async () => {
    const monitor = OwnedProcess.start('monitor', process.execPath, [MAIN, 'monitor', '--json'], {
      env,
      pipe: { stdout: true },
    });
    const lines: string[] = [];
    createInterface({ input: monitor.stdout }).on('line', (line) => lines.push(line));
    const next = async (): Promise<unknown> => {
      await waitFor('a line', () => lines.length > 0, { timeoutMs: WAIT_MS });
      return JSON.parse(lines.shift() ?? '');
    };
    try {
      assert.deepEqual(await next(), { event: 'daemon', running: true });
      const { event, guest } = (await next()) as {
        event: string;
        guest: { name: string; streams: unknown[] };
      };
      assert.deepEqual([event, guest.name, guest.streams.length], ['guest', 'work', 1]);

      daemon.change(stream, { Level: 0.25 });
      const changed = (await next()) as { guest: { streams: { level: number }[] } };
      assert.equal(changed.guest.streams[0]?.level, 0.25);

      daemon.remove(work);
      assert.deepEqual(await next(), { event: 'gone', id: 'u1' });

      daemon.stop();
      assert.deepEqual(await next(), { event: 'daemon', running: false });

      assert.deepEqual(await monitor.stop({ signal: 'SIGINT', timeoutMs: WAIT_MS }), {
        code: 0,
        signal: null,
      });
    } finally {
      await monitor.kill();
    }
  });
});
