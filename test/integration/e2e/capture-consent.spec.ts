// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { Host, MIC_FEED } from '../../host/host.js';
import { controlPath, CAPTURE_STREAM, type Guest } from '../../host/guest.js';
import { captureIs, sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { findSound, RecordingClock, soundsIn } from '../../lib/e2e-capture-timeline.js';
import { argumentsOf } from '../../lib/e2e-formats.js';
import { Recorder } from '../../lib/e2e-play.js';
import { frameBytesOf, noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { IN_LAB } from '../../lib/scale.js';

const format = { format: 's16le', rate: 44_100, channels: 2 };
const FRAME_BYTES = frameBytesOf(format);
/** Longer than all steps together. */
const NOISE_SECONDS = IN_LAB ? 120 : 60;
/** How long each step listens. */
const STEP_SECONDS = 3;
/** Samples flow that soon after leave was given. */
const PROMPT_MS = 100;
const PROMPT_ON_A_BUSY_MACHINE_MS = 1000;
/** What the recorders get at a time, and so what a position in a recording says nothing of. */
const PERIOD_MS = 50;

describe('end to end: leave to record', function () {
  this.timeout(120_000);
  let host: Host;
  let guest: Guest;
  let voice: OwnedProcess;
  /** dom0's own recorder of the microphone, and the guest's; both run all the time. */
  let own: Recorder;
  let recorder: Recorder;
  let clock: RecordingClock;
  /** Of the guest's recorder, while it waits for leave. */
  let earlyStartMs: number;
  /** When leave was given, as the backend saw it, and when taking it back returned. */
  const givenMs: number[] = [];
  const takenMs: number[] = [];

  before(async () => {
    host = await Host.start();
    guest = await host.addGuest();
    await guest.loadSource(argumentsOf(format));
    await guest.connected();
    own = await Recorder.start({ client: host.client, sink: MIC_FEED }, format, host.dir);
    clock = new RecordingClock(own, format);
    voice = await speak(host, noise(format, NOISE_SECONDS), format);
    const capture = `${controlPath(guest.domain.domid, 0)}/${CAPTURE_STREAM}/capture`;
    await host.xen.store.watch(capture, 'capture', () => {
      const nowMs = performance.now();
      void host.xen.store.tryRead(capture).then((value) => {
        if (value === '1') givenMs.push(nowMs);
      });
    });
    recorder = await Recorder.ofSource(
      { client: guest.client, source: guest.source ?? '' },
      format,
      guest.dir,
    );
  });

  after(async () => {
    clock.stop();
    await recorder.stop();
    await own.stop();
    await voice.stop();
    await host.stop();
  });

  const msOf = (bytes: number): number => (bytes / FRAME_BYTES / format.rate) * 1000;

  /** Listens for a while. @returns what the guest has recorded since */
  async function listen(seconds = STEP_SECONDS): Promise<Buffer> {
    const from = recorder.bytes;
    await recorder.grows(from + Math.round(seconds * format.rate) * FRAME_BYTES);
    return recorder.heard().subarray(from - (from % FRAME_BYTES));
  }

  async function allow(): Promise<void> {
    await host.allowCapture(guest);
    await captureIs(host, guest, { requested: '1', active: '1' });
    assert.equal((await sourceOutputsOf(host)).length, 1, 'one source output in dom0');
    const heard = await listen();
    assert.ok(soundsIn(heard, FRAME_BYTES).length > 0, 'the guest hears the microphone');
  }

  async function deny(): Promise<void> {
    await host.denyCapture(guest);
    takenMs.push(performance.now());
    assert.deepEqual(await sourceOutputsOf(host), [], 'no source output in dom0');
    await captureIs(host, guest, { requested: '1', active: '0' });
    await listen();
  }

  it("is nobody's at first: the guest hears silence in real time, and nothing in dom0 records for it", async () => {
    await captureIs(host, guest, { capture: '0', requested: '1', active: '0' });

    const early = new RecordingClock(recorder, format);
    const heard = await listen();
    early.stop();
    earlyStartMs = early.startMs;

    assert.deepEqual(await sourceOutputsOf(host), []);
    assert.ok(
      heard.every((octet) => octet === 0),
      'silence',
    );
    const asked = readFileSync(host.controller.logFile, 'utf8').match(/asks to record and hears silence/g);
    assert.equal(asked?.length, 1, 'the daemon has said who asks in vain, once');
  });

  it('is given, taken and given again while the guest records', async () => {
    await allow();
    await deny();
    await allow();
  });

  it('has let through what was allowed, promptly, and nothing else', async () => {
    const late = new RecordingClock(recorder, format);
    await listen();
    late.stop();
    const heard = await recorder.finish();
    const all = await own.finish(); // later, so that it has all the guest has
    const sounds = soundsIn(heard, FRAME_BYTES);
    const overruns = await host.captureNode(guest, 'overruns');
    const detail = JSON.stringify({ sounds, overruns, frames: heard.length / FRAME_BYTES });
    assert.equal(sounds.length, 2, `heard twice, without a gap: ${detail}`);

    const spoken = sounds.map((sound) => findSound(heard, sound, all, FRAME_BYTES));
    const [first, second] = spoken;
    assert.ok(first !== undefined && second !== undefined, `as dom0 heard it: ${detail}`);
    const afterMs = [first, second].map(({ begin }, index) => lateness(begin, givenMs[index] ?? NaN));
    const figures = `the first frames were spoken ${afterMs.join(', ')} ms after leave had been given`;
    assert.ok(Math.min(...afterMs) <= PROMPT_MS, figures);
    assert.ok(Math.max(...afterMs) <= PROMPT_ON_A_BUSY_MACHINE_MS, figures);
    const lateMs = lateness(first.end, takenMs[0] ?? NaN);
    assert.ok(lateMs <= PERIOD_MS, `the last frame was spoken ${lateMs} ms after leave had been taken`);

    const between = (sounds[1]?.begin ?? 0) - (sounds[0]?.end ?? 0);
    const jumpMs = msOf((between - (second.begin - first.end)) * FRAME_BYTES);
    assert.ok(Math.abs(jumpMs) <= PERIOD_MS, `the recording is ${jumpMs} ms off after the silence`);
    const offMs = late.startMs - earlyStartMs;
    assert.ok(Math.abs(offMs) <= PERIOD_MS, `the recording is ${offMs} ms shorter than the time it took`);
  });

  it('shows that nothing is asked for when the guest has stopped', async () => {
    await captureIs(host, guest, { capture: '1', requested: '0', active: '0' });
    assert.deepEqual(await sourceOutputsOf(host), []);
  });

  /** Milliseconds from a moment until a frame was spoken. */
  const lateness = (frame: number, momentMs: number): number =>
    msOf((frame - clock.frameAt(momentMs)) * FRAME_BYTES);
});
