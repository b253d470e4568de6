// SPDX-License-Identifier: LGPL-2.1-or-later
/** Ctrl-C and its like: what was begun is ended, the latest first. */
import { constants } from 'node:os';

/** Ends something at once. Returns true when the program goes on by itself from there, to end in order. */
export type InterruptHandler = (signal: NodeJS.Signals) => boolean;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const handlers: InterruptHandler[] = [];

/** Runs `action`; a signal meanwhile calls `handler`. */
export async function interruptible<T>(handler: InterruptHandler, action: () => Promise<T>): Promise<T> {
  handlers.push(handler);
  try {
    return await action();
  } finally {
    handlers.splice(handlers.indexOf(handler), 1);
  }
}

/** Lets signals call the handlers; without one that goes on, the program ends as the signal would have ended it. */
export function takeInterrupts(): void {
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      if (!handlers.toReversed().some((handler) => handler(signal))) {
        process.exit(128 + constants.signals[signal]);
      }
    });
  }
}
