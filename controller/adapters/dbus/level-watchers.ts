// SPDX-License-Identifier: LGPL-2.1-or-later
import { ApiError } from '../../api/audio-api.js';
import { SerialQueue } from '../../util/queue.js';

/** Counts who wants to see levels, and tells the daemon when the first comes and the last goes. */
export class LevelWatchers {
  readonly #counts = new Map<string, number>();
  readonly #queue = new SerialQueue();
  #shown = false;

  /**
   * @param show turns levels on or off
   * @param watch begins to look whether a caller leaves the bus; resolves with whether it is still there
   */
  constructor(
    private readonly show: (wanted: boolean) => Promise<void>,
    private readonly watch: (caller: string) => Promise<boolean>,
    private readonly unwatch: (caller: string) => void,
  ) {}

  /** Counts a call of StartLevels. Resolves when levels are on; throws what kept them off, and then nothing is counted. */
  async start(caller: string): Promise<void> {
    this.#counts.set(caller, (this.#counts.get(caller) ?? 0) + 1);
    try {
      const present = await this.watch(caller);
      if (present) await this.#apply();
      else await this.left(caller);
    } catch (error) {
      await this.stop(caller).catch(() => undefined);
      throw error;
    }
  }

  /** Takes one call of StartLevels back. Throws ApiError `Failed` when there is none. */
  async stop(caller: string): Promise<void> {
    const count = this.#counts.get(caller);
    if (count === undefined) {
      throw new ApiError('Failed', 'StopLevels without StartLevels: calls are counted for each connection');
    }
    if (count > 1) this.#counts.set(caller, count - 1);
    else this.#forget(caller);
    await this.#apply();
  }

  /** A caller has left the bus. Throws what kept levels on. */
  async left(caller: string): Promise<void> {
    if (this.#forget(caller)) await this.#apply();
  }

  /** The bus has gone, and with it all callers. */
  async clear(): Promise<void> {
    this.#counts.clear();
    await this.#apply();
  }

  #forget(caller: string): boolean {
    this.unwatch(caller);
    return this.#counts.delete(caller);
  }

  #apply(): Promise<void> {
    return this.#queue.run(async () => {
      const wanted = this.#counts.size > 0;
      if (wanted === this.#shown) return;
      await this.show(wanted);
      this.#shown = wanted;
    });
  }
}
