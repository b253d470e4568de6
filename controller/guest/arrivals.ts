// SPDX-License-Identifier: LGPL-2.1-or-later
import type { ClockPort } from '../device/ports.js';

/** Waits until something that is told about becomes true. */
export class Arrivals {
  readonly #waiting = new Set<() => void>();

  /** Something is another than before: those who wait look again. */
  notify(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** Resolves with true when `test` holds, at once if it does; with false when `timeoutMs` have passed. */
  until(test: () => boolean, clock: ClockPort, timeoutMs: number): Promise<boolean> {
    if (test()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (held: boolean): void => {
        this.#waiting.delete(look);
        cancel();
        resolve(held);
      };
      const look = (): void => {
        if (test()) end(true);
      };
      const cancel = clock.after(timeoutMs, () => {
        end(false);
      });
      this.#waiting.add(look);
    });
  }
}
