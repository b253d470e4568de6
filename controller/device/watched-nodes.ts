// SPDX-License-Identifier: LGPL-2.1-or-later
import type { XenstoreReader } from './ports.js';

type Value = Promise<string | undefined>;

/**
 * Values of nodes that somebody watches: each is read once, and again when it may have changed. Who watches tells of each event,
 * and of the watch itself once that is there: what was read before may be of another time.
 */
export class WatchedNodes {
  readonly #values = new Map<string, Value>();

  constructor(private readonly reader: Pick<XenstoreReader, 'read'>) {}

  /** As `XenstoreReader`'s. What failed is read again the next time. */
  read(path: string): Value {
    const known = this.#values.get(path);
    if (known !== undefined) return known;
    const value = this.reader.read(path);
    this.#values.set(path, value);
    value.catch(() => {
      if (this.#values.get(path) === value) this.#values.delete(path);
    });
    return value;
  }

  /** A node may have changed, or one below it; without a path, all may. What is being read just now is read again. */
  changed(path?: string): void {
    for (const known of [...this.#values.keys()]) {
      if (path === undefined || known === path || known.startsWith(`${path}/`)) this.#values.delete(known);
    }
  }
}
