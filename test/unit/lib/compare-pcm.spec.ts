// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { comparePcm, type PcmComparison } from '../../lib/compare-pcm.js';

const FRAME_BYTES = 4;

/** Reproducible noise, so that no two windows are alike. */
function noise(frames: number, seed = 1): Buffer {
  const pcm = Buffer.alloc(frames * FRAME_BYTES);
  let state = seed;
  for (let at = 0; at < pcm.length; at += 2) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    pcm.writeInt16LE((state >> 12) & 0x7fff, at);
  }
  return pcm;
}

const silence = (frames: number): Buffer => Buffer.alloc(frames * FRAME_BYTES);
const frames = (pcm: Buffer, begin: number, end?: number): Buffer =>
  pcm.subarray(begin * FRAME_BYTES, end === undefined ? undefined : end * FRAME_BYTES);
const compare = (sent: Buffer, ...received: Buffer[]): PcmComparison =>
  comparePcm(sent, Buffer.concat(received), { frameBytes: FRAME_BYTES });

describe('comparePcm', () => {
  const sent = noise(20_000);

  it('finds an exact copy behind leading silence and before trailing silence', () => {
    assert.deepEqual(compare(sent, silence(1234), sent, silence(500)), {
      startFrame: 1234,
      matchedFrames: 20_000,
      lostFrames: 0,
      insertedFrames: 0,
      differingFrames: 0,
      gaps: 0,
      firstDifference: null,
      exact: true,
    });
  });

  it('takes silence at the start of the sent signal as part of it', () => {
    const padded = Buffer.concat([silence(3000), sent]);
    const result = compare(padded, silence(1000), padded);
    assert.equal(result.startFrame, 1000);
    assert.equal(result.matchedFrames, 23_000);
    assert.equal(result.exact, true);
  });

  it('counts frames lost at the start', () => {
    const result = compare(sent, silence(100), frames(sent, 220));
    assert.equal(result.startFrame, 100);
    assert.equal(result.lostFrames, 220);
    assert.equal(result.matchedFrames, 19_780);
    assert.equal(result.firstDifference, 0);
    assert.equal(result.exact, false);
  });

  it('counts silence inserted in the middle, and loses nothing by it', () => {
    const result = compare(sent, frames(sent, 0, 7001), silence(480), frames(sent, 7001));
    assert.equal(result.insertedFrames, 480);
    assert.equal(result.lostFrames, 0);
    assert.equal(result.matchedFrames, 20_000);
    assert.equal(result.gaps, 1);
    assert.equal(result.firstDifference, null);
    assert.equal(result.exact, false);
  });

  it('counts frames cut out of the middle', () => {
    const result = compare(sent, frames(sent, 0, 5000), frames(sent, 5333));
    assert.equal(result.lostFrames, 333);
    assert.equal(result.insertedFrames, 0);
    assert.equal(result.firstDifference, 5000);
    assert.equal(result.matchedFrames, 19_667);
  });

  it('counts frames replaced by silence as lost, and the silence as inserted', () => {
    const result = compare(sent, frames(sent, 0, 5000), silence(441), frames(sent, 5441));
    assert.equal(result.lostFrames, 441);
    assert.equal(result.insertedFrames, 441);
    assert.equal(result.differingFrames, 0);
  });

  it('counts frames of another content at their place as differing', () => {
    const received = Buffer.from(sent);
    received.writeInt16LE(-1, 9000 * FRAME_BYTES);
    const result = compare(sent, received);
    assert.equal(result.differingFrames, 1);
    assert.equal(result.lostFrames, 0);
    assert.equal(result.matchedFrames, 19_999);
    assert.equal(result.firstDifference, 9000);
  });

  it('loses nothing between two gaps that are close together', () => {
    const pieces = [frames(sent, 0, 9000), silence(300), frames(sent, 9000, 9060), silence(200)];
    const { lostFrames, differingFrames, insertedFrames } = compare(sent, ...pieces, frames(sent, 9060));
    assert.deepEqual([lostFrames, differingFrames, insertedFrames], [0, 0, 500]);
  });

  it('bridges several gaps, long ones too', () => {
    const long = noise(120_000, 7);
    const result = compare(
      long,
      frames(long, 0, 1000),
      frames(long, 1100, 10_000),
      silence(200),
      frames(long, 10_000, 20_000),
      frames(long, 90_000),
    );
    assert.equal(result.lostFrames, 100 + 70_000);
    assert.equal(result.insertedFrames, 200);
    assert.equal(result.gaps, 3);
    assert.equal(result.matchedFrames, 120_000 - 70_100);
  });

  it('counts what was cut off at the end as lost', () => {
    const result = compare(sent, silence(10), frames(sent, 0, 19_000));
    assert.equal(result.lostFrames, 1000);
    assert.equal(result.matchedFrames, 19_000);
    assert.equal(result.firstDifference, 19_000);
  });

  it('reports everything lost when nothing of the signal is there', () => {
    const result = compare(sent, silence(30_000));
    assert.equal(result.lostFrames, 20_000);
    assert.equal(result.matchedFrames, 0);
    assert.equal(result.exact, false);
  });

  it('ignores agreements that are not on a frame boundary', () => {
    const shifted = Buffer.concat([Buffer.alloc(2), sent]);
    assert.equal(compare(sent, shifted).matchedFrames, 0);
  });

  it('knows the silence of unsigned formats', () => {
    const bytes = noise(4000).map((octet) => octet | 1);
    const u8 = Buffer.from(bytes);
    const gap = Buffer.alloc(100, 0x80);
    const received = Buffer.concat([gap, u8.subarray(0, 900), gap, u8.subarray(1000)]);
    const result = comparePcm(u8, received, { frameBytes: 1, silence: 0x80 });
    assert.equal(result.startFrame, 100);
    assert.equal(result.lostFrames, 100);
    assert.equal(result.insertedFrames, 100);
  });
});
