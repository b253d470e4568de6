// SPDX-License-Identifier: LGPL-2.1-or-later

/** Growing delays, 1, 2, 4 … times a base, up to a ceiling. */
export class Backoff {
  #failures = 0;

  constructor(
    private readonly baseMs: number,
    private readonly ceilingMs: number,
    /** Failures that cost nothing. */
    private readonly free = 0,
  ) {}

  /** Counts a failure; `skipFree` uses up the free ones at once. Returns the delay it costs. */
  fail(skipFree = false): number {
    this.#failures = skipFree ? Math.max(this.#failures, this.free) + 1 : this.#failures + 1;
    const charged = this.#failures - this.free;
    return charged <= 0 ? 0 : Math.min(this.ceilingMs, this.baseMs * 2 ** Math.min(charged - 1, 30));
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** A bucket of tokens: bounds how often something may happen, bursts allowed. */
export class RateLimit {
  #tokens: number;
  #atMs = 0;

  constructor(
    private readonly burst: number,
    private readonly perSecond: number,
  ) {
    this.#tokens = burst;
  }

  /** Takes a token. Returns 0, or the time in milliseconds until the next one (then none was taken). */
  take(nowMs: number): number {
    this.#tokens = Math.min(this.burst, this.#tokens + ((nowMs - this.#atMs) * this.perSecond) / 1000);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return Math.ceil(((1 - this.#tokens) * 1000) / this.perSecond);
    this.#tokens -= 1;
    return 0;
  }
}
