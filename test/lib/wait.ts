// SPDX-License-Identifier: LGPL-2.1-or-later
import { setTimeout as delay } from 'node:timers/promises';

/** A wait that reached its time limit. */
export class WaitTimeout extends Error {
  override readonly name = 'WaitTimeout';
}

export interface WaitOptions {
  /** Time limit; default 10 s. */
  timeoutMs?: number;
  /** Pause between two looks; default 20 ms. */
  intervalMs?: number;
  /** Read when the limit is reached, and put into the error: what was there instead, the end of a log. */
  detail?: () => string | Promise<string>;
  /** Ends the wait early with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Looks until `probe` yields something other than undefined, null or false, and resolves to that. For things that
 * offer no event; what `probe` throws is taken as "not yet" and named in the error.
 *
 * @param what the thing awaited, as it shall read in `timed out after … waiting for <what>`
 * @throws WaitTimeout at the limit; the signal's reason when it is aborted
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: WaitOptions = {},
): Promise<Exclude<T, undefined | null | false>> {
  const { timeoutMs = 10_000, intervalMs = 20, detail, signal } = options;
  const end = performance.now() + timeoutMs;
  let failure: unknown;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) {
        return value as Exclude<T, undefined | null | false>;
      }
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= end) {
      throw await timeoutError(what, timeoutMs, failure, detail);
    }
    await delay(intervalMs);
  }
}

/** Resolves as `promise` does, or rejects with WaitTimeout at the limit; the timer never outlives the call. */
export async function within<T>(what: string, timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new WaitTimeout(`timed out after ${timeoutMs} ms waiting for ${what}`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

async function timeoutError(
  what: string,
  timeoutMs: number,
  failure: unknown,
  detail: WaitOptions['detail'],
): Promise<WaitTimeout> {
  const parts = [`timed out after ${timeoutMs} ms waiting for ${what}`];
  if (failure instanceof Error) {
    parts.push(`last failure: ${failure.message}`);
  }
  const text = await detail?.();
  if (text !== undefined && text !== '') {
    parts.push(text);
  }
  return new WaitTimeout(parts.join('\n'), { cause: failure });
}
