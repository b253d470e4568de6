// SPDX-License-Identifier: LGPL-2.1-or-later
import { SerialQueue } from '../../util/queue.js';
import { standardError } from './errors.js';

/** Calls of one caller that may wait for their answers; the system's bus lets a caller have no more by default. */
export const OUTSTANDING_MAX = 128;

interface Caller {
  outstanding: number;
  readonly queues: Map<string, SerialQueue>;
}

/**
 * Bounds what each caller has under way, so that one who floods harms only himself, and keeps his calls in order where they wait
 * for leave: a slider's last value is set last.
 */
export class Callers {
  readonly #callers = new Map<string, Caller>();

  /** How many callers have something under way. */
  get size(): number {
    return this.#callers.size;
  }

  /**
   * Asks for leave, one question after the other for a caller and a subject; then does the deed, beside others.
   * @throws DbusError LimitsExceeded; what `leave` or `deed` throw
   */
  async run<T>(
    name: string,
    subject: string,
    leave: () => Promise<void>,
    deed: () => Promise<T>,
  ): Promise<T> {
    const caller = this.#enter(name);
    try {
      let queue = caller.queues.get(subject);
      if (queue === undefined) caller.queues.set(subject, (queue = new SerialQueue()));
      // In a box, so that the queue waits for the leave alone.
      const { result } = await queue.run(async () => {
        await leave();
        return { result: begin(deed) };
      });
      return await result;
    } finally {
      caller.outstanding -= 1;
      if (caller.outstanding === 0) this.#callers.delete(name);
    }
  }

  #enter(name: string): Caller {
    const caller = this.#callers.get(name) ?? { outstanding: 0, queues: new Map<string, SerialQueue>() };
    if (caller.outstanding >= OUTSTANDING_MAX) {
      throw standardError('LimitsExceeded', `${OUTSTANDING_MAX} calls wait for their answers: wait for some`);
    }
    caller.outstanding += 1;
    this.#callers.set(name, caller);
    return caller;
  }
}

/** Begins a deed; its failure is for who awaits it, who may come a moment later. */
const begin = <T>(deed: () => Promise<T>): Promise<T> => {
  const result = (async () => deed())();
  result.catch(() => undefined);
  return result;
};
