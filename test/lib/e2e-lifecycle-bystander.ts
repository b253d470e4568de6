// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Host } from '../host/host.js';
import type { Guest } from '../host/guest.js';
import { compare, routeTo } from './e2e-play.js';
import { Ear, FORMAT, FRAME_BYTES } from './e2e-lifecycle-ear.js';
import type { OwnedProcess } from './process.js';

/** More than the scheduling of a busy machine takes; these tests ask what survives, not how quickly. */
export const LATENCY_MS = 1000;
const SINK = 'bystander';
/** What is recorded at least, so that "nothing was lost" says something. */
const HEARD_SECONDS_MIN = 2;
/** So many frames of noise stand nowhere else. */
const START_FRAMES = 64;

/** A guest that plays noise into a sink of its own in dom0, and must not notice what is done to others. */
export class Bystander {
  private player: OwnedProcess | undefined;
  private ear: Ear | undefined;

  private constructor(
    private readonly host: Host,
    readonly guest: Guest,
    private readonly noiseFile: string,
  ) {}

  static async create(host: Host, guest: Guest, noiseFile: string): Promise<Bystander> {
    await host.client.loadModule('module-null-sink', `sink_name=${SINK}`);
    return new Bystander(host, guest, noiseFile);
  }

  /** Plays while `act` runs, then checks that every frame arrived, once and in its order. */
  async play(pcm: Buffer, act: () => Promise<void>): Promise<void> {
    const { client, dir, sink } = this.guest;
    const logFile = join(dir, 'pacat.log');
    this.player = client.play(sink ?? '', this.noiseFile, FORMAT, { latencyMs: LATENCY_MS, logFile });
    try {
      await routeTo(this.host, this.guest, SINK);
      this.ear = await Ear.open(this.host, SINK);
      await this.ear.hears();
      await act();
      await this.ear.hears(HEARD_SECONDS_MIN);
      assert.equal(this.player.running, true, 'the player of the other guest still runs');
      this.checkExact(pcm, await this.ear.close());
    } finally {
      await this.stop();
    }
  }

  /** Harmless when nothing plays. */
  async stop(): Promise<void> {
    await this.ear?.close();
    await this.player?.stop();
    this.ear = undefined;
    this.player = undefined;
  }

  private checkExact(pcm: Buffer, heard: Buffer): void {
    const piece = withoutSilence(fromStart(heard, pcm));
    const seconds = piece.length / FRAME_BYTES / FORMAT.rate;
    assert.ok(seconds >= HEARD_SECONDS_MIN, `${seconds} s of the other guest were heard`);
    if (!pcm.subarray(0, piece.length).equals(piece)) {
      const { matchedFrames, lostFrames, insertedFrames, gaps, firstDifference } = compare(
        pcm.subarray(0, piece.length),
        piece,
        FORMAT,
      );
      assert.fail(
        `the other guest was disturbed: ${matchedFrames} frames arrived, ${lostFrames} were lost, ${insertedFrames} ` +
          `inserted, in ${gaps} places, the first at frame ${String(firstDifference)}`,
      );
    }
  }
}

/** Without what the sink still had of a player before this one; all, when the signal does not begin as it should. */
function fromStart(heard: Buffer, pcm: Buffer): Buffer {
  const begin = heard.indexOf(pcm.subarray(0, START_FRAMES * FRAME_BYTES));
  return begin < 0 ? heard : heard.subarray(begin);
}

/** Noise is never silent, so silence is what was recorded before it and after. */
export function withoutSilence(pcm: Buffer): Buffer {
  let begin = 0;
  let end = pcm.length - (pcm.length % FRAME_BYTES);
  while (begin < end && pcm.readUInt32LE(begin) === 0) begin += FRAME_BYTES;
  while (end > begin && pcm.readUInt32LE(end - FRAME_BYTES) === 0) end -= FRAME_BYTES;
  return pcm.subarray(begin, end);
}
