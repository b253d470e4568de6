// SPDX-License-Identifier: LGPL-2.1-or-later
import { closeSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LibXenstore, XsHandle } from './libxenstore.js';

/** Events taken in one go; the rest waits for the next turn, so that a flood does not stop everything else. */
const BATCH_MAX = 256;
const EVENTFD_ONE = new BigUint64Array([1n]);

/**
 * Delivers the watch events of one connection. Sleeps in `poll(2)` on a worker thread between them, without waking up
 * in vain. The descriptor of libxenstore is never read here: the library drains it itself.
 */
export class WatchLoop {
  readonly #stopFd: number;
  #stopping = false;
  #running: Promise<void> | undefined;

  constructor(
    private readonly library: LibXenstore,
    private readonly handle: XsHandle,
    private readonly watchFd: number,
    /** Gets the distinct events of a batch. */
    private readonly deliver: (token: string, path: string) => void,
    private readonly onLost: (error: unknown) => void,
  ) {
    this.#stopFd = library.makeEventFd();
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Ends the loop; no event is delivered afterwards. */
  async stop(): Promise<void> {
    this.#stopping = true;
    writeSync(this.#stopFd, EVENTFD_ONE);
    await this.#running;
    closeSync(this.#stopFd);
  }

  async #run(): Promise<void> {
    try {
      while (!this.#isStopping()) {
        await this.library.waitReadable([this.watchFd, this.#stopFd]);
        while (!this.#isStopping() && this.#deliverBatch()) await nextTurn();
      }
    } catch (error) {
      if (!this.#isStopping()) this.onLost(error);
    }
  }

  #isStopping(): boolean {
    return this.#stopping;
  }

  /** Returns whether more may be waiting. */
  #deliverBatch(): boolean {
    const batch = new Map<string, { token: string; path: string }>();
    let taken = 0;
    for (; taken < BATCH_MAX; taken += 1) {
      const event = this.library.nextWatchEvent(this.handle);
      if (event === undefined) break;
      batch.set(`${event.token}\0${event.path}`, event);
    }
    for (const { token, path } of batch.values()) this.deliver(token, path);
    return taken === BATCH_MAX;
  }
}
