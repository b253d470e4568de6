// SPDX-License-Identifier: LGPL-2.1-or-later

/** What became of a sent recording. All counts are in frames. */
export interface PcmComparison {
  /** Where in the received signal the first sent frame that arrived stands. */
  startFrame: number;
  /** Frames that arrived unchanged. */
  matchedFrames: number;
  /** Sent frames that did not arrive. */
  lostFrames: number;
  /** Received frames, between the first and the last sent one, that were not sent: silence, repetitions. */
  insertedFrames: number;
  /** Frames that arrived at their place with another content. */
  differingFrames: number;
  /** Places where the received signal departs from the sent one. */
  gaps: number;
  /** The first sent frame that did not arrive as it was; null when all did. */
  firstDifference: number | null;
  /** All sent frames arrived unchanged and in one piece. */
  exact: boolean;
}

export interface CompareOptions {
  /** Octets of one frame: all channels of one sampling instant. */
  frameBytes: number;
  /** The octet that silence is made of: 0, or 0x80 for u8. */
  silence?: number;
  /** Longest gap bridged, frames; what lies behind a longer one counts as lost. Default 500 000. */
  maxGapFrames?: number;
}

/** Enough of a real signal to be found once only, and less than what is transferred at once: a gap may come after each of it. */
const WINDOW_FRAMES = 32;
const BLOCK_FRAMES = 4096;

/**
 * Finds a sent signal in a received one and follows it to its end, over losses and insertions. The signal must not
 * repeat itself exactly within `maxGapFrames`: take music or noise, not a tone.
 */
export function comparePcm(sent: Buffer, received: Buffer, options: CompareOptions): PcmComparison {
  return new Comparison(sent, received, options).run();
}

/** Where both signals agree again: that many frames further in each. */
interface Resync {
  sentFrames: number;
  receivedFrames: number;
}

class Comparison {
  private readonly frameBytes: number;
  private readonly sentFrames: number;
  private readonly receivedFrames: number;
  private readonly maxGapFrames: number;
  private readonly silence: number;
  private sentAt = 0;
  private receivedAt = 0;
  private readonly result: PcmComparison = {
    startFrame: 0,
    matchedFrames: 0,
    lostFrames: 0,
    insertedFrames: 0,
    differingFrames: 0,
    gaps: 0,
    firstDifference: null,
    exact: false,
  };

  constructor(
    private readonly sent: Buffer,
    private readonly received: Buffer,
    options: CompareOptions,
  ) {
    this.frameBytes = options.frameBytes;
    this.silence = options.silence ?? 0;
    this.maxGapFrames = options.maxGapFrames ?? 500_000;
    this.sentFrames = Math.floor(sent.length / this.frameBytes);
    this.receivedFrames = Math.floor(received.length / this.frameBytes);
  }

  run(): PcmComparison {
    this.findStart();
    while (this.sentAt < this.sentFrames) {
      this.skipEqual();
      if (this.sentAt < this.sentFrames) {
        this.bridgeGap();
      }
    }
    this.result.exact = this.result.firstDifference === null && this.result.insertedFrames === 0;
    return this.result;
  }

  /** The leading silence of the received signal, however long, is no gap. */
  private findStart(): void {
    const start = this.resync(this.receivedFrames);
    if (start === null) {
      this.lose(this.sentFrames);
      return;
    }
    this.lose(start.sentFrames);
    this.receivedAt = start.receivedFrames;
    this.result.startFrame = this.receivedAt;
  }

  private bridgeGap(): void {
    const next = this.resync(this.maxGapFrames);
    this.result.gaps += 1;
    if (next === null) {
      this.lose(this.sentFrames - this.sentAt);
      return;
    }
    const { sentFrames, receivedFrames } = next;
    const inPlace = this.isSilent(receivedFrames) ? 0 : Math.min(sentFrames, receivedFrames);
    if (sentFrames > 0) {
      this.result.firstDifference ??= this.sentAt;
    }
    this.result.differingFrames += inPlace;
    this.result.lostFrames += sentFrames - inPlace;
    this.result.insertedFrames += receivedFrames - inPlace;
    this.sentAt += sentFrames;
    this.receivedAt += receivedFrames;
  }

  private lose(frames: number): void {
    if (frames > 0) {
      this.result.firstDifference ??= this.sentAt;
      this.result.lostFrames += frames;
      this.sentAt += frames;
    }
  }

  /** Walks over all that is equal: whole blocks first, then frame by frame. */
  private skipEqual(): void {
    for (const step of [BLOCK_FRAMES, 1]) {
      while (
        this.sentAt + step <= this.sentFrames &&
        this.receivedAt + step <= this.receivedFrames &&
        this.isEqual(this.sentAt, this.receivedAt, step)
      ) {
        this.sentAt += step;
        this.receivedAt += step;
        this.result.matchedFrames += step;
      }
    }
  }

  /**
   * The nearest place, counted in frames left out on both sides together, where the signals agree again. Looks for
   * windows of the sent signal, further apart the further they are, and goes back from the one found to where the
   * agreement begins.
   */
  private resync(reachFrames: number): Resync | null {
    let best: Resync | null = null;
    let reach = reachFrames;
    for (let skip = 0; skip <= reach; skip += Math.max(WINDOW_FRAMES, skip >> 4)) {
      const at = this.sentAt + skip;
      const length = Math.min(WINDOW_FRAMES, this.sentFrames - at);
      if (length < WINDOW_FRAMES / 8) {
        break;
      }
      if (this.isConstant(at, length)) {
        continue;
      }
      const found = this.findReceived(at, length, reach);
      if (found !== null) {
        best = this.extendBack({ sentFrames: skip, receivedFrames: found - this.receivedAt });
        reach = Math.min(reach, Math.max(best.sentFrames, best.receivedFrames) - 1);
      }
    }
    return best;
  }

  private extendBack(found: Resync): Resync {
    let { sentFrames, receivedFrames } = found;
    while (
      sentFrames > 0 &&
      receivedFrames > 0 &&
      this.isEqual(this.sentAt + sentFrames - 1, this.receivedAt + receivedFrames - 1, 1)
    ) {
      sentFrames -= 1;
      receivedFrames -= 1;
    }
    return { sentFrames, receivedFrames };
  }

  /** First frame of the received signal, within reach, where a window of the sent one stands. */
  private findReceived(sentAt: number, frames: number, reach: number): number | null {
    const window = this.sent.subarray(sentAt * this.frameBytes, (sentAt + frames) * this.frameBytes);
    const begin = this.receivedAt * this.frameBytes;
    const area = this.received.subarray(begin, begin + (reach + frames) * this.frameBytes);
    for (let at = area.indexOf(window); at >= 0; at = area.indexOf(window, at + 1)) {
      if (at % this.frameBytes === 0) {
        return this.receivedAt + at / this.frameBytes;
      }
    }
    return null;
  }

  private isEqual(sentAt: number, receivedAt: number, frames: number): boolean {
    const sentByte = sentAt * this.frameBytes;
    const receivedByte = receivedAt * this.frameBytes;
    const length = frames * this.frameBytes;
    return (
      this.sent.compare(this.received, receivedByte, receivedByte + length, sentByte, sentByte + length) === 0
    );
  }

  /** Whether a window of the sent signal says nothing about its place: the same frame over and over. */
  private isConstant(at: number, frames: number): boolean {
    const begin = at * this.frameBytes;
    const length = (frames - 1) * this.frameBytes;
    const next = begin + this.frameBytes;
    return this.sent.compare(this.sent, next, next + length, begin, begin + length) === 0;
  }

  private isSilent(frames: number): boolean {
    const begin = this.receivedAt * this.frameBytes;
    return this.received
      .subarray(begin, begin + frames * this.frameBytes)
      .every((octet) => octet === this.silence);
  }
}
