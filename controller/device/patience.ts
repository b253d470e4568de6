// SPDX-License-Identifier: LGPL-2.1-or-later
import { Backoff } from '../util/retry.js';
import { XenbusState } from '../xenbus/state.js';
import type { DeviceStatus } from './plan.js';

/** A connection that lasted this long clears what its guest did before. */
const STABLE_MS = 10_000;
/** Connections a guest may open and close in a row before it has to wait in between. */
const FREE_CYCLES = 8;
export const BACKOFF_BASE_MS = 1000;
export const BACKOFF_CEILING_MS = 60_000;
/** As long as Linux's driver waits for an answer. */
const LINGER_MS = 3000;

/** How long a card waits for its guest, and makes it wait. Knows no clock: the time, in milliseconds, is an argument. */
export class Patience {
  readonly #backoff = new Backoff(BACKOFF_BASE_MS, BACKOFF_CEILING_MS, FREE_CYCLES);
  #backoffUntilMs = 0;
  #backend: XenbusState | undefined;
  #backendSinceMs = 0;
  #connectedAtMs: number | undefined;

  /** @param holdInitWaitMs how long state 2 is held, for a toolstack that looks for it */
  constructor(private readonly holdInitWaitMs: number) {}

  /** The backend's state has been read. */
  saw(backend: XenbusState | undefined, nowMs: number): void {
    if (backend === this.#backend) return;
    this.#backend = backend;
    this.#backendSinceMs = nowMs;
  }

  connected(nowMs: number): void {
    this.#connectedAtMs = nowMs;
  }

  disconnected(): void {
    this.#connectedAtMs = undefined;
  }

  /** The guest has closed its connection, or (`broken`) has made it impossible: it waits before the next. */
  penalise(broken: boolean, nowMs: number): void {
    const idleMs = nowMs - this.#backoffUntilMs;
    const lastedMs = this.#connectedAtMs === undefined ? 0 : nowMs - this.#connectedAtMs;
    if (lastedMs >= STABLE_MS || idleMs >= BACKOFF_CEILING_MS) this.#backoff.reset();
    this.#backoffUntilMs = nowMs + this.#backoff.fail(broken);
  }

  /** What is left of each wait. @param servesLinux there are streams of a driver that talks to them after 6 */
  left(
    nowMs: number,
    servesLinux: boolean,
  ): Pick<DeviceStatus, 'holdLeftMs' | 'backoffLeftMs' | 'lingerLeftMs'> {
    const leftIn = (state: XenbusState, waitMs: number): number =>
      Math.max(0, waitMs - (this.#backend === state ? nowMs - this.#backendSinceMs : 0));
    return {
      holdLeftMs: leftIn(XenbusState.InitWait, this.holdInitWaitMs),
      backoffLeftMs: Math.max(0, this.#backoffUntilMs - nowMs),
      lingerLeftMs: servesLinux ? leftIn(XenbusState.Closed, LINGER_MS) : 0,
    };
  }
}
