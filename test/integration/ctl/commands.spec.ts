// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PrivateBus } from '../../host/private-bus.js';
import { FakeAudioService } from '../../lib/fake-audio-service.js';
import { OwnedProcess, runCommand, type CommandResult } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';
import { XlStandIn } from '../../lib/xl-stand-in.js';

const MAIN = fileURLToPath(new URL('../../../controller/ctl/main.js', import.meta.url));
const WORK_UUID = '3f1c0000-0000-4000-8000-000000000001';

/** Each command is a process of its own, which a busy machine starts slowly. */
const TEST_MS = 60_000;

describe('xen-audioctl', function () {
  this.timeout(TEST_MS);

  let directory: string;
  let bus: PrivateBus;
  let daemon: FakeAudioService;
  let work: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    bus = new PrivateBus(directory);
    await bus.start();
  });

  after(async () => {
    await bus.stop();
    await rm(directory, { recursive: true });
  });

  beforeEach(async () => {
    daemon = await FakeAudioService.start(bus.address);
    work = daemon.addGuest('u1', { Uuid: WORK_UUID, Domid: 1, LatencyUsec: 22_400n, PlaybackActive: true });
    daemon.addStream(work, 's0_0_0', { Underruns: 3n });
    daemon.addGuest('u2', { Name: 'play', Domid: 12, Mute: true, CapturePolicy: 'deny' });
  });

  afterEach(() => {
    daemon.stop();
  });

  const ctl = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CommandResult> =>
    runCommand(process.execPath, [MAIN, ...args], {
      env: { ...process.env, XEN_AUDIO_BUS: bus.address, ...env },
    });

  /** Runs a command that succeeds; its output. */
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await ctl(args);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };

  /** Runs a command that fails with a status and a complaint. */
  const fails = async (args: readonly string[], status: number, complaint: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await ctl(args);
    assert.deepEqual([code, stdout], [status, '']);
    assert.match(stderr, complaint);
  };

  it('lists guests in a table', async () => {
    assert.equal(
      await ok('list'),
      [
        'GUEST  DOMAIN  STATE      PLAYBACK  VOLUME  LATENCY  MICROPHONE',
        'play       12  connected  idle       muted        -  denied',
        'work        1  connected  playing     80 %    22 ms  on request',
        '',
      ].join('\n'),
    );
  });

  it('lists guests as JSON', async () => {
    const guests = JSON.parse(await ok('list', '--json')) as Record<string, unknown>[];

    assert.deepEqual(
      guests.map(({ name }) => name),
      ['play', 'work'],
    );
    assert.deepEqual(guests[1], {
      id: 'u1',
      name: 'work',
      uuid: WORK_UUID,
      domid: 1,
      state: 'connected',
      playbackAllowed: true,
      playbackActive: true,
      captureRequested: false,
      captureAllowed: false,
      captureActive: false,
      capturePolicy: 'ask',
      captureAllowedUntilUsec: 0,
      captureDeadlineUsec: 0,
      volume: 0.8,
      volumeCap: 1,
      mute: false,
      sink: '',
      source: '',
      latencyUsec: 22_400,
      streams: [
        {
          device: 'vsnd-0/0/0',
          direction: 'playback',
          state: 'playing',
          format: 's16_le',
          rate: 48_000,
          channels: 2,
          positionFrames: 480_000,
          underruns: 3,
          overruns: 0,
          lateBytes: 0,
          latencyUsec: 20_000,
          level: 0.5,
        },
      ],
    });
  });

  it('says so when there is no guest', async () => {
    daemon.remove(`${work}/s0_0_0`);
    daemon.remove(work);
    daemon.remove(work.replace('u1', 'u2'));

    assert.equal(await ok('list'), 'No guest has a sound card.\n');
    assert.equal(await ok('list', '--json'), '[]\n');
  });

  it('shows a guest by name, UUID and domain', async () => {
    const text = await ok('show', 'work');
    assert.ok(!text.includes('\x1b'), 'colour where nobody sees it');
    assert.match(text, /^Guest {7}work\nUUID {8}3f1c.*\nDomain {6}1\n/);
    assert.match(text, /\nMicrophone {2}on request \(policy: ask\)\n/);
    assert.match(
      text,
      /\nvsnd-0\/0\/0 {2}playback {3}playing {2}s16_le, 48000 Hz, 2 ch {4}20 ms {10}3 {9}-\n$/,
    );

    assert.equal(await ok('show', WORK_UUID), text);
    assert.equal(await ok('show', '1'), text);
  });

  it('shows how long leave to record lasts', async () => {
    const until = BigInt(Date.now() + 3_600_000) * 1000n;
    daemon.change(work, { CaptureAllowed: true, CaptureAllowedUntil: until });

    assert.match(await ok('show', 'work'), /\nMicrophone {2}allowed, for (1 h 0|60) min more/);
  });

  it('lets no control character of a guest reach the terminal', async () => {
    const nasty = '\x1b]0;owned\x07\x9b31m\u202eevil\n';
    daemon.change(work, { Name: nasty, State: nasty, Sink: nasty });
    daemon.failures.set('Attach', ['Failed', `cannot attach ${nasty}`]);

    // eslint-disable-next-line no-control-regex -- they are what is looked for
    const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;
    assert.doesNotMatch(await ok('list'), control);
    assert.doesNotMatch(await ok('show', '1'), control);
    assert.doesNotMatch((await ctl(['attach', '1'])).stderr, control);
    const json = await ok('show', '1', '--json');
    assert.doesNotMatch(json, control);
    assert.equal((JSON.parse(json) as { name: string }).name, nasty);
  });

  it('does what it is told', async () => {
    const told: readonly (readonly [string, string])[] = [
      ['volume work 50', 'work Set Volume 0.5'],
      ['mute work', 'work Set Mute true'],
      ['mute work toggle', 'work Set Mute false'],
      ['allow-mic work', 'work AllowCaptureOnce'],
      ['allow-mic work --for 2m', 'work AllowCaptureFor 120'],
      ['allow-mic work --always', 'work AllowCaptureAlways'],
      ['deny-mic work', 'work DenyCapture'],
      ['attach work', 'Attach work modules'],
      ['attach work --kernel', 'Attach work kernel'],
      ['detach work', 'Detach work 0'],
      ['detach work 3', 'Detach work 3'],
      ['route work playback usb', 'work SetRoute playback usb'],
      ['route work capture', 'work SetRoute capture '],
      ['reload', 'Reload'],
      ['prepare-suspend work', 'PrepareSuspend work'],
      ['finish-suspend work', 'FinishSuspend work'],
    ];
    for (const [line, call] of told) {
      daemon.calls.length = 0;
      await ok(...line.split(' '));
      assert.equal(daemon.calls.at(-1), call, line);
    }
  });

  describe('around xl', () => {
    let count = 0;
    let xl: XlStandIn;

    beforeEach(() => {
      count += 1;
      xl = new XlStandIn(join(directory, `xl-${count}`));
    });

    const runs = async (line: string, env = {}): Promise<CommandResult> =>
      ctl(line.split(' '), { PATH: xl.path, ...env });

    it('disconnects the cards, hands on what is for xl, and connects them again', async () => {
      for (const [line, called, status] of [
        ['save work a.img', 'save 1 a.img', 0],
        ['migrate work host -- -s ssh', 'migrate -s ssh 1 host', 3],
      ] as const) {
        xl.end(status);
        const { code, stdout, stderr } = await runs(line);
        assert.deepEqual([code, stdout, stderr], [status, `xl: ${called}\n`, '']);
        assert.deepEqual(daemon.calls.slice(-2), ['PrepareSuspend 1', 'FinishSuspend 1']);
      }
    });

    it('disconnects the cards again for a daemon that has forgotten, as long as xl runs', async () => {
      const saving = runs('save work a.img', { XEN_AUDIO_BUS: bus.address });
      await xl.called();
      const prepared = daemon.calls.length;
      await waitFor('the next time', () => daemon.calls[prepared] === 'PrepareSuspend 1');
      xl.end(0);
      assert.equal((await saving).code, 0);
      assert.equal(daemon.calls.at(-1), 'FinishSuspend 1');
    });

    it('is content when the guest has gone', async () => {
      daemon.failures.set('FinishSuspend', ['NoSuchGuest', '1: no such guest']);
      xl.end(0);
      const { code, stderr } = await runs('save work a.img -- -F');
      assert.deepEqual([code, stderr], [0, '']);
    });

    it('runs nothing when the cards are not let go', async () => {
      daemon.failures.set('PrepareSuspend', ['Timeout', 'work: not all of its cards let go']);
      const { code, stdout, stderr } = await runs('save work a.img');
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, /not all of its cards let go/);
    });

    it('connects the cards again when there is no xl', async () => {
      const { code, stderr } = await runs('save work a.img', { PATH: directory });
      assert.equal(code, 1);
      assert.match(stderr, /xl cannot be run: .*ENOENT.*are Xen's tools installed\?/);
      assert.equal(daemon.calls.at(-1), 'FinishSuspend 1');
    });

    it('hands a signal on to xl, and connects the cards again', async () => {
      const child = OwnedProcess.start('xen-audioctl', process.execPath, [MAIN, 'save', 'work', 'a.img'], {
        env: { ...process.env, XEN_AUDIO_BUS: bus.address, PATH: xl.path },
        logFile: join(directory, 'save.log'),
      });
      await xl.called();
      process.kill(child.pid ?? 0, 'SIGTERM');
      assert.equal((await child.ended).code, 143);
      assert.equal(daemon.calls.at(-1), 'FinishSuspend 1');
    });

    it('waits for the cards of a guest that is restored, for a time', async () => {
      const restoring = runs('restore a.img -- -p', { XEN_AUDIO_BUS: bus.address });
      assert.equal(await xl.called(), 'restore -p a.img');
      const back = daemon.addGuest('u4', { Name: 'back', Domid: 21, State: 'connecting' });
      xl.end(0);
      daemon.change(back, { State: 'connected' });
      const { code, stderr } = await restoring;
      assert.deepEqual([code, stderr], [0, '']);

      const late = new XlStandIn(join(directory, 'xl-late'));
      const waiting = ctl(['restore', 'b.img', '--timeout', '1'], { PATH: late.path });
      await late.called();
      daemon.addGuest('u5', { Name: 'late', Domid: 22, State: 'connecting' });
      late.end(0);
      const given = await waiting;
      assert.equal(given.code, 0);
      assert.match(given.stderr, /late: restored, but not all of its cards were connected within 1 s/);
    });
  });

  it('tells, sets and changes a volume, as far as policy goes', async () => {
    daemon.change(work, { VolumeCap: 0.9 });

    assert.equal(await ok('volume', 'work'), '80 %\n');
    assert.equal(await ok('volume', 'work', '-30'), '50 %\n');
    assert.equal(await ok('volume', 'work', '+100'), '90 %\n');
    assert.equal(await ok('volume', 'play', '--json'), '{\n  "volume": 0.8,\n  "mute": true\n}\n');
    await fails(['volume', 'work', '95'], 6, /policy lets guest 'work' have 90 % at most/);
    assert.equal(await ok('volume', 'work', '-200'), '0 %\n');
  });

  it('explains the policy', async () => {
    daemon.settings = [
      ['capture', 'ask', 'defaults'],
      ['volumeMax', '90', "rule 2, name 'work'"],
    ];

    assert.equal(
      await ok('policy', 'explain', 'work'),
      "SETTING    VALUE  RULE\ncapture    ask    defaults\nvolumeMax  90     rule 2, name 'work'\n",
    );
  });

  it('checks a policy file, without a daemon', async () => {
    daemon.stop();
    const good = join(directory, 'good.yaml');
    const bad = join(directory, 'bad.yaml');
    await writeFile(good, '');
    await writeFile(bad, 'colour: red\n');

    assert.equal(await ok('policy', 'check', good), `${good}: no fault found\n`);
    await fails(['policy', 'check', bad], 1, new RegExp(`^xen-audioctl: ${bad}:1:1: colour: expected`));
    await fails(['policy', 'check', join(directory, 'none.yaml')], 1, /none\.yaml: cannot be read: ENOENT/);
  });

  it('tells programs by its status what went wrong, and people what to do', async () => {
    await fails(
      ['show', 'nobody'],
      4,
      /no guest 'nobody' has a sound card\nxen-audioctl: 'xen-audioctl list'/,
    );
    daemon.addGuest('u3', { Name: 'play', Domid: 13 });
    await fails(['mute', 'play'], 4, /UUID/);
    daemon.failures.set('Set Mute', ['NotAuthorized', 'not authorised to mute']);
    await fails(['mute', 'work'], 5, /not authorised to mute\nxen-audioctl: try again as root/);
    daemon.failures.set('AllowCaptureOnce', ['PolicyDenied', 'policy denies it']);
    await fails(['allow-mic', 'work'], 6, /policy denies it\n.*policy explain/);
    daemon.failures.set('Reload', ['PolicyInvalid', 'policy.yaml:3:1: bad']);
    await fails(['reload'], 1, /^xen-audioctl: policy\.yaml:3:1: bad\n/);
    await fails(['dance'], 2, /'dance' is no command\nTry "xen-audioctl --help"/);
  });

  it('does not wait for ever', async () => {
    daemon.silent.add('Reload');

    await fails(['reload', '--timeout', '0.3'], 1, /Reload: no answer within 300 ms/);
  });

  it('says when the daemon is not running, and what to run', async () => {
    daemon.stop();

    await fails(['list'], 3, new RegExp(`there is no xen-audiod on the bus ${bus.address}`));
    const { code, stderr } = await ctl(['list', '--bus', 'system'], { DBUS_SYSTEM_BUS_ADDRESS: bus.address });
    assert.equal(code, 3);
    assert.match(stderr, /xen-audiod is not running: start it with 'systemctl start xen-audiod'/);
  });

  it('says when there is no bus', async () => {
    const address = `unix:path=${directory}/nothing`;
    await fails(['list', '--bus', address], 3, new RegExp(`cannot reach the bus ${address}: connect ENOENT`));
    await fails(['list', '--bus', 'nonsense'], 2, /say system, session, or an address/);
    const nowhere = { DBUS_SESSION_BUS_ADDRESS: '', XDG_RUNTIME_DIR: '' };
    const { code, stderr } = await ctl(['list', '--bus', 'session'], nowhere);
    assert.equal(code, 3);
    assert.match(stderr, /there is no session bus/);
  });

  it('doubts a daemon of another version', async () => {
    const odd = daemon.addGuest('u9', { Name: 'odd', Domid: 9 });
    daemon.addStream(odd, 's0_0_0', { Direction: 'sideways' });

    await fails(['list'], 1, /are it and this command of one version\? \(Direction: /);
  });
});
