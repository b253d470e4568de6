// SPDX-License-Identifier: LGPL-2.1-or-later
/** A sink of dom0's that another program holds at a low latency, so that it wakes up that often. */
import assert from 'node:assert/strict';

import type { Place } from './e2e-play.js';
import type { OwnedProcess } from './process.js';
import type { StreamFormat } from './pulse.js';
import { waitFor } from './wait.js';

/** What the other program asks for, and what its sink then has. */
export interface Hold {
  name: string;
  /** processMs: that it wants to fill its buffer; default: a quarter of its latency, or 20 ms. */
  asked: { latencyMs: number; processMs?: number };
  /** Half of what twice the processing time leaves of the latency (PulseAudio's protocol-native.c, fix_playback_buffer_attr). */
  sinkUsec: number;
}

/** The sink has 5 ms. */
export const SINK_AT_5_MS: Hold = {
  name: 'held at 5 ms',
  asked: { latencyMs: 20, processMs: 5 },
  sinkUsec: 5000,
};

/** The other program has 5 ms, for which the sink needs to be faster still. */
export const PLAYER_AT_5_MS: Hold = {
  name: 'held by a player with 5 ms',
  asked: { latencyMs: 5 },
  sinkUsec: 1250,
};

/** Buffers have whole frames. */
const ROUNDING_USEC = 50;

/** A program that plays silence for as long as it is let. */
export class SinkHolder {
  private constructor(
    private readonly place: Place,
    private readonly hold: Hold,
    private readonly player: OwnedProcess,
  ) {}

  /** Resolves when the sink has come down to what is asked. @param dir where the program's log goes */
  static async start(place: Place, format: StreamFormat, hold: Hold, dir: string): Promise<SinkHolder> {
    const options = { ...hold.asked, logFile: `${dir}/holder.log` };
    const player = place.client.play(place.sink, '/dev/zero', format, options);
    const holder = new SinkHolder(place, hold, player);
    const isHeld = async (): Promise<true> => {
      await holder.assertHeld();
      return true;
    };
    try {
      await waitFor(`${place.sink} to be ${hold.name}`, isHeld, { detail: () => player.logTail() });
    } catch (error) {
      await holder.stop();
      throw error;
    }
    return holder;
  }

  /** @throws AssertionError when the program has ended, or the sink is slower */
  async assertHeld(): Promise<void> {
    assert.equal(this.player.running, true, 'the program that held the sink has ended');
    const { client, sink } = this.place;
    const usec = (await client.sink(sink)).latency?.configured ?? Infinity;
    const { sinkUsec } = this.hold;
    assert.ok(usec <= sinkUsec + ROUNDING_USEC, `${sink} has ${usec} usec, ${sinkUsec} were asked for`);
  }

  async stop(): Promise<void> {
    await this.player.stop();
  }
}
