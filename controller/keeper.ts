// SPDX-License-Identifier: LGPL-2.1-or-later
import type { ClockPort, LogPort } from './device/ports.js';
import { hasCode, messageOf } from './util/errors.js';
import { Backoff } from './util/retry.js';

/** What can be kept: something that is started, breaks, and is started again. */
export interface Kept {
  stop(): Promise<void>;
}

const TOPIC = 'controller';
const RETRY_BASE_MS = 500;
const RETRY_CEILING_MS = 10_000;

/**
 * Keeps one thing running: starts it, and again when it has broken or could not be started, with growing pauses. One loop
 * does all of it, so that there are never two.
 */
export class Keeper<T extends Kept> {
  readonly #backoff = new Backoff(RETRY_BASE_MS, RETRY_CEILING_MS);
  #current: T | undefined;
  #running: Promise<void> = Promise.resolve();
  #wake: () => void = () => undefined;
  #broken = false;
  #stopped = false;
  #complaint = '';

  constructor(
    /** Starts it; `onLost` is called once when it has broken. */
    private readonly make: (onLost: (error: unknown) => void) => Promise<T>,
    private readonly clock: ClockPort,
    private readonly log: LogPort,
    /** It is there now, or has gone. */
    private readonly onChange: () => void,
    /** Calls the listener when another try may succeed, until the returned function is called. */
    private readonly whenHopeful: (listener: () => void) => () => void,
  ) {}

  get current(): T | undefined {
    return this.#current;
  }

  /** Resolves when it runs, or when the first try has failed and others follow. */
  async start(): Promise<void> {
    await this.#try();
    this.#running = this.#keep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    await this.#running;
    await this.#drop();
  }

  async #keep(): Promise<void> {
    while (!this.#stopped) {
      if (this.#current === undefined) await this.#pause(this.#backoff.fail());
      else if (!this.#broken) await this.#pause(undefined);
      if (this.#broken) await this.#drop();
      if (this.#current === undefined && !this.#isStopped()) await this.#try();
    }
  }

  /** It may have been stopped during a pause. */
  #isStopped(): boolean {
    return this.#stopped;
  }

  async #try(): Promise<void> {
    this.#broken = false;
    try {
      this.#current = await this.make((error) => {
        this.log.warning(TOPIC, `${messageOf(error)}: starting anew, streams play on`);
        this.#broken = true;
        this.#wake();
      });
      this.#backoff.reset();
      this.#complaint = '';
      this.onChange();
    } catch (error) {
      if (hasCode(error, 'aborted')) return;
      const complaint = messageOf(error);
      if (complaint !== this.#complaint) this.log.warning(TOPIC, `${complaint} Trying again until it works`);
      this.#complaint = complaint;
    }
  }

  async #drop(): Promise<void> {
    const dropped = this.#current;
    this.#current = undefined;
    if (dropped === undefined) return;
    await dropped.stop().catch((error: unknown) => {
      this.log.debug(TOPIC, messageOf(error));
    });
    this.onChange();
  }

  /** Until woken, or until the time has passed. */
  #pause(limitMs: number | undefined): Promise<void> {
    if (this.#stopped || (this.#broken && this.#current !== undefined)) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wake();
      };
      const endings = limitMs === undefined ? [] : [this.clock.after(limitMs, wake), this.whenHopeful(wake)];
      this.#wake = () => {
        for (const end of endings) end();
        this.#wake = () => undefined;
        resolve();
      };
    });
  }
}
