// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host } from '../../host/host.js';
import { addMicrophone, captureAndRecord, judge, type CapturePassage } from '../../lib/e2e-capture.js';
import { argumentsOf, nameOf } from '../../lib/e2e-formats.js';
import { frameBytesOf, music, onlyLeft } from '../../lib/e2e-signals.js';
import type { StreamFormat } from '../../lib/pulse.js';
import { FULL, IN_LAB } from '../../lib/scale.js';

const MUSIC_SECONDS = 60;
const SECONDS = FULL ? MUSIC_SECONDS : 30;

const formats: StreamFormat[] = [44_100, 48_000].flatMap((rate) =>
  [2, 1].map((channels) => ({ format: 's16le', rate, channels })),
);

async function recording(format: StreamFormat): Promise<Buffer> {
  const stereo = await music(format.rate, MUSIC_SECONDS);
  const pcm = format.channels === 1 ? onlyLeft(stereo) : stereo;
  return pcm.subarray(0, SECONDS * format.rate * frameBytesOf(format));
}

describe(`end to end: ${SECONDS} s of a recording fed to dom0's microphone`, function () {
  this.timeout((SECONDS + 120) * 1000 * (IN_LAB ? formats.length : 1));
  let host: Host;
  const passages = new Map<StreamFormat, Promise<void>>();

  /** A guest that may record, and a microphone of its own, so that all can record at the same time. */
  async function prepare(format: StreamFormat): Promise<CapturePassage> {
    const feed = `feed_${format.rate}_${format.channels}`;
    const route = await addMicrophone(host, feed, argumentsOf(format));
    const guest = await host.addGuest();
    await host.allowCapture(guest);
    await guest.loadSource(argumentsOf(format));
    await guest.connected();
    return { host, guest, feed, route, pcm: await recording(format), format };
  }

  async function arrives(passage: CapturePassage): Promise<void> {
    const { guest, pcm, format } = passage;
    const verdict = judge(pcm, await captureAndRecord(passage), format);
    const overruns = await host.captureNode(guest, 'overruns');
    assert.equal(verdict.asGood, true, `${JSON.stringify({ ...verdict, overruns })}\n${guest.logTail()}`);
    assert.equal(verdict.guest.matchedFrames, SECONDS * format.rate);
  }

  before(async () => {
    host = await Host.start();
    for (const format of formats) {
      const passage = await prepare(format);
      const arrival = arrives(passage);
      arrival.catch(() => undefined); // its test reports the failure
      passages.set(format, arrival);
      if (IN_LAB) await arrival.catch(() => undefined); // one after the other there
    }
  });

  after(async () => {
    await Promise.allSettled(passages.values());
    await host.stop();
  });

  for (const format of formats) {
    it(`arrives in the guest sample for sample: ${nameOf(format)}`, async () => {
      await passages.get(format);
    });
  }
});
