// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: the test stands in for the controller, over dom0's own connection to xenstore. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { RecordingClock, soundsIn } from '../../lib/e2e-capture-timeline.js';
import { Control, inMixer } from '../../lib/e2e-control.js';
import { playSilence } from '../../lib/e2e-lifecycle.js';
import { FORMAT, FRAME_BYTES } from '../../lib/e2e-lifecycle-ear.js';
import { play, Recorder } from '../../lib/e2e-play.js';
import { noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';

const NOISE_SECONDS = 60;
/** Sound appears that soon after leave was given. */
const PROMPT_MS = 100;
const PROMPT_ON_A_BUSY_MACHINE_MS = 1000;
/** What the recorder asks the sink for, and so what the sink may have rendered when leave is taken. */
const RENDERED_MS = 100;
const LISTEN_SECONDS = 1;
const SHORT_SECONDS = 2;
/** Start of pacat, its buffer, the drain: over the duration of what it plays. */
const OVERHEAD_MS = 2500;

describe('end to end: leave to play', function () {
  this.timeout(120_000);
  let host: Host;
  let guest: Guest;
  let control: Control;
  let recorder: Recorder;
  let clock: RecordingClock;
  let player: OwnedProcess;
  const givenMs: number[] = [];
  const takenMs: number[] = [];

  before(async () => {
    host = await Host.start({ xen: 'emulated', guests: 1 });
    const [first] = host.guests;
    assert.ok(first !== undefined);
    guest = first;
    await host.stopController();
    control = await Control.of(host, guest);
    await control.write('playback', '0');
    recorder = await Recorder.start({ client: host.client, sink: SPEAKERS }, FORMAT, host.dir);
    clock = new RecordingClock(recorder, FORMAT);
    const place = { client: guest.client, sink: guest.sink ?? '' };
    player = await play(place, noise(FORMAT, NOISE_SECONDS), FORMAT, guest.dir, {
      leadInSeconds: 0,
      latencyMs: 200,
    });
    await control.says('state', 'playing', 20_000);
  });

  after(async () => {
    clock.stop();
    await player.stop();
    await recorder.stop();
    await host.stop();
  });

  async function listen(): Promise<Buffer> {
    const from = recorder.bytes;
    await recorder.grows(from + LISTEN_SECONDS * FORMAT.rate * FRAME_BYTES);
    return recorder.heard().subarray(from - (from % FRAME_BYTES));
  }

  async function allow(): Promise<void> {
    await control.write('playback', '1');
    givenMs.push(performance.now());
    await control.reports('device', SPEAKERS);
    await listen();
  }

  async function deny(): Promise<void> {
    await control.write('playback', '0');
    takenMs.push(performance.now());
    await control.reports('device', '');
    assert.equal(await inMixer(host, guest), undefined, 'no stream in the mixer');
    await listen();
  }

  it('is needed: without it there is no stream in the mixer, and the time of the guest passes', async () => {
    const before = Number(await control.says('position-frames', (frames) => Number(frames) > 0));
    await control.says('position-frames', (frames) => Number(frames) > before);

    const tookMs = await playSilence(guest, SHORT_SECONDS);

    const overMs = tookMs - SHORT_SECONDS * 1000;
    assert.ok(overMs > -100 && overMs < OVERHEAD_MS, `${SHORT_SECONDS} s were played in ${tookMs} ms`);
    assert.equal(await inMixer(host, guest), undefined);
    assert.ok(
      (await listen()).every((octet) => octet === 0),
      'silence',
    );
  });

  it('is given, taken and given again while the guest plays', async () => {
    await allow();
    await deny();
    await allow();
    assert.equal(player.running, true);
  });

  it('lets through what is played meanwhile, promptly, and nothing else', async () => {
    const heard = await recorder.finish();
    const sounds = soundsIn(heard, FRAME_BYTES);
    assert.equal(sounds.length, 2, `heard twice, without a gap: ${JSON.stringify(sounds)}`);
    const msAfter = (frame: number, momentMs: number): number =>
      ((frame - clock.frameAt(momentMs)) / FORMAT.rate) * 1000;

    const afterMs = sounds.map(({ begin }, index) => msAfter(begin, givenMs[index] ?? NaN));
    const figures = `the first frames were heard ${afterMs.join(', ')} ms after leave had been given`;
    assert.ok(Math.min(...afterMs) <= PROMPT_MS, figures);
    assert.ok(Math.max(...afterMs) <= PROMPT_ON_A_BUSY_MACHINE_MS, figures);
    const lateMs = msAfter(sounds[0]?.end ?? NaN, takenMs[0] ?? NaN);
    assert.ok(lateMs <= RENDERED_MS, `the last frame was heard ${lateMs} ms after leave had been taken`);
  });
});
