// SPDX-License-Identifier: LGPL-2.1-or-later
/** On real Xen only: the guest's own kernel records. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, MIC_FEED } from '../../host/host.js';
import { alsaLog, arecord, loadDriver, stopWithDriver, type AlsaBuffer } from '../../lib/e2e-alsa.js';
import { captureIs, captureWith, judge, sourceOutputsOf, speak } from '../../lib/e2e-capture.js';
import { findSound, RecordingClock, soundsIn } from '../../lib/e2e-capture-timeline.js';
import { logFrom } from '../../lib/e2e-lifecycle.js';
import { Recorder } from '../../lib/e2e-play.js';
import { frameBytesOf, noise } from '../../lib/e2e-signals.js';
import type { StreamFormat } from '../../lib/pulse.js';
import { FULL } from '../../lib/scale.js';

const SECONDS = FULL ? 60 : 3;
const TEST_MS = (SECONDS + 90) * 1000;
/** How long the silence is listened to, and what is said after leave was given. */
const STEP_SECONDS = 3;
/** What a recorder gets at a time, and so what a position in its recording says nothing of. */
const PERIOD_MS = 50;

interface Row {
  name: string;
  /** At a rate; undefined: arecord's own. */
  bufferAt: (rate: number) => AlsaBuffer | undefined;
}

const sized = (periods: number, periodMs: number): Row => ({
  name: `${periods} periods of ${periodMs} ms`,
  bufferAt: (rate) => ({ periods, periodFrames: Math.floor((rate * periodMs) / 1000) }),
});
const DEFAULTS: Row = { name: "arecord's defaults", bufferAt: () => undefined };
const all = [DEFAULTS, sized(4, 10), sized(2, 10), sized(2, 20), sized(8, 20)];

const rows = FULL ? all : [DEFAULTS];

for (const rate of FULL ? [44_100, 48_000] : [44_100]) {
  describe(`snd_xen_front records at ${rate} Hz`, function () {
    this.timeout(TEST_MS);
    const format: StreamFormat = { format: 's16le', rate, channels: 2 };
    const frameBytes = frameBytesOf(format);
    let host: Host;
    let guest: Guest;

    before(async () => {
      host = await Host.start({ xen: 'real', micFeedArgs: `format=s16le rate=${rate} channels=2` });
      guest = await host.addGuest({ pulse: false });
      await loadDriver(guest);
    });

    after(async () => {
      await stopWithDriver(host, guest);
    });

    it('silence, in real time, while it may not; and what is said once it may', async () => {
      const recorder = await arecord(guest, format, sized(4, 10).bufferAt(rate));
      try {
        await captureIs(host, guest, { capture: '0', requested: '1', active: '0' });
        assert.deepEqual(await sourceOutputsOf(host), []);
        const early = await clockOf(recorder, format);
        const silent = recorder.heard();
        assert.ok(
          silent.every((octet) => octet === 0),
          'silence',
        );

        await host.allowCapture(guest);
        await captureIs(host, guest, { active: '1' });
        const { heard, own } = await hearSomething(recorder, format);

        const late = await clockOf(recorder, format);
        const offMs = late.startMs - early.startMs;
        assert.ok(Math.abs(offMs) <= PERIOD_MS, `the recording is ${offMs} ms shorter than the time it took`);
        const sounds = soundsIn(heard, frameBytes);
        assert.equal(sounds.length, 1, `heard without a gap: ${JSON.stringify(sounds)}`);
        const [sound] = sounds;
        assert.ok(sound && findSound(heard, sound, own, frameBytes), 'as dom0 heard it');
        assert.ok(sound.end - sound.begin >= STEP_SECONDS * rate * 0.9, JSON.stringify(sound));
      } finally {
        await recorder.stop();
        await host.denyCapture(guest);
      }
    });

    for (const { name, bufferAt } of rows) {
      it(`sample for sample while it may: ${name}`, async () => {
        await host.allowCapture(guest);
        const said = logFrom(alsaLog(guest));
        const pcm = noise(format, SECONDS);
        const passage = { host, guest, feed: MIC_FEED, pcm, format };
        const captured = await captureWith(passage, () => arecord(guest, format, bufferAt(rate)));
        const verdict = judge(pcm, captured, format);
        const figures = JSON.stringify({
          ...verdict,
          overruns: await host.captureNode(guest, 'overruns'),
        });
        assert.equal(verdict.asGood, true, `${figures}\n${said()}`);
        assert.equal(verdict.guest.matchedFrames, SECONDS * rate, figures);
        assert.doesNotMatch(said(), /overrun/);
      });
    }

    /** Speaks for a while. @returns what the guest's recorder, and dom0's own, have heard */
    async function hearSomething(
      recorder: Recorder,
      heardFormat: StreamFormat,
    ): Promise<{ heard: Buffer; own: Buffer }> {
      const own = await Recorder.start({ client: host.client, sink: MIC_FEED }, heardFormat, host.dir);
      try {
        const voice = await speak(host, noise(heardFormat, STEP_SECONDS), heardFormat);
        await voice.succeeded((STEP_SECONDS + 20) * 1000);
        await recorder.grows(recorder.bytes + rate * frameBytes); // what was said has come through
        return { heard: recorder.heard(), own: await own.finish() };
      } finally {
        await own.stop();
      }
    }
  });
}

/** Listens for a while to when the recording's frames come. */
async function clockOf(recorder: Recorder, format: StreamFormat): Promise<RecordingClock> {
  const clock = new RecordingClock(recorder, format);
  try {
    await recorder.grows(recorder.bytes + STEP_SECONDS * format.rate * frameBytesOf(format));
    return clock;
  } finally {
    clock.stop();
  }
}
