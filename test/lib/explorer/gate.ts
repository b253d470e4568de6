// SPDX-License-Identifier: LGPL-2.1-or-later

/** What runs in order: watch events, calls of xenstore, calls of the sound server. */
export const LANES = ['watch', 'xenstore', 'pulse'] as const;
export type Lane = (typeof LANES)[number];

/** More calls than this without a moment passing: it would never end. */
const CALLS_MAX = 4000;

/**
 * Decides when calls that a process has made come to pass. Open: at once. Closed: they wait, those of a lane in order, until
 * they are let through one by one. Cut: never, as when the process has died.
 */
export class Gate {
  readonly #lanes: Record<Lane, (() => void)[]> = { watch: [], xenstore: [], pulse: [] };
  #state: 'open' | 'closed' | 'cut';
  #calls = 0;

  constructor(open: boolean) {
    this.#state = open ? 'open' : 'closed';
  }

  get pending(): number {
    return LANES.reduce((sum, lane) => sum + this.#lanes[lane].length, 0);
  }

  /** Whether it turns in a circle. */
  get runsWild(): boolean {
    return this.#calls > CALLS_MAX;
  }

  /** Some time has passed. */
  timePassed(): void {
    this.#calls = 0;
  }

  open(): void {
    this.#state = 'open';
    for (const lane of LANES) while (this.letThrough(lane));
  }

  close(): void {
    this.#state = 'closed';
  }

  cut(): void {
    this.#state = 'cut';
    for (const lane of LANES) this.#lanes[lane].length = 0;
  }

  run<T>(lane: Lane, job: () => Promise<T>): Promise<T> {
    this.#calls += 1;
    if (this.#state === 'cut' || this.runsWild) return new Promise(() => undefined);
    if (this.#state === 'open') return Promise.resolve().then(job);
    return new Promise((resolve, reject) => {
      this.#lanes[lane].push(() => {
        job().then(resolve, reject);
      });
    });
  }

  /** Lets the oldest call of a lane come to pass. Returns whether there was one. */
  letThrough(lane: Lane): boolean {
    const job = this.#lanes[lane].shift();
    job?.();
    return job !== undefined;
  }
}
