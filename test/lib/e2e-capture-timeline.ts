// SPDX-License-Identifier: LGPL-2.1-or-later
/** When what dom0's microphone heard was heard, and where it stands in a guest's recording. */
import type { Recorder } from './e2e-play.js';
import { frameBytesOf } from './e2e-signals.js';
import type { StreamFormat } from './pulse.js';

const LOOK_MS = 5;
/** Enough of noise to be found once only; as many silent frames part two sounds. */
const WINDOW_FRAMES = 64;

/**
 * Tells which frame of a recording belongs to a moment. A recorder gets each a little late, and sometimes later: what
 * counts is the least delay that any look at its recording has shown while this clock runs.
 */
export class RecordingClock {
  private readonly timer: NodeJS.Timeout;
  private readonly rate: number;
  private earliestStartMs = Infinity;

  constructor(recorder: Recorder, format: StreamFormat) {
    this.rate = format.rate;
    const bytesPerMs = (frameBytesOf(format) * format.rate) / 1000;
    this.timer = setInterval(() => {
      this.earliestStartMs = Math.min(this.earliestStartMs, performance.now() - recorder.bytes / bytesPerMs);
    }, LOOK_MS);
  }

  /** When the recording began, of performance.now(): the same to every clock of it if its length is the time it took. */
  get startMs(): number {
    return this.earliestStartMs;
  }

  /** @param atMs of performance.now() */
  frameAt(atMs: number): number {
    return Math.round(((atMs - this.earliestStartMs) * this.rate) / 1000);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

/** A piece of a recording that is not silent: frames, the end not included. */
export interface Sound {
  begin: number;
  end: number;
}

/** The sounds in a recording of noise, which is never silent for long. */
export function soundsIn(pcm: Buffer, frameBytes: number): Sound[] {
  const sounds: Sound[] = [];
  const silence = Buffer.alloc(frameBytes);
  const frames = Math.floor(pcm.length / frameBytes);
  for (let at = 0; at < frames; at += 1) {
    if (pcm.compare(silence, 0, frameBytes, at * frameBytes, (at + 1) * frameBytes) === 0) continue;
    const last = sounds.at(-1);
    if (last !== undefined && at - last.end < WINDOW_FRAMES) last.end = at + 1;
    else sounds.push({ begin: at, end: at + 1 });
  }
  return sounds;
}

/** Where a sound stands in another recording of the same noise, frames; undefined when it is not there as it is. */
export function findSound(
  recorded: Buffer,
  { begin, end }: Sound,
  other: Buffer,
  frameBytes: number,
): Sound | undefined {
  const octets = recorded.subarray(begin * frameBytes, end * frameBytes);
  const at = other.indexOf(octets);
  return at < 0 || at % frameBytes !== 0
    ? undefined
    : { begin: at / frameBytes, end: at / frameBytes + end - begin };
}
