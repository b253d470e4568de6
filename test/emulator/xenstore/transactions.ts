// SPDX-License-Identifier: LGPL-2.1-or-later
/** Transactions: a private view of the store that is committed as a whole, or not at all. */
import type { Change } from './operations.js';
import type { Permissions } from './permissions.js';
import { lookup, Store, type Edit, type StoreNode, type StoreView } from './store.js';

export class Transaction implements StoreView {
  /** What watches are told once it is committed. */
  readonly changes: Change[] = [];
  /** Set when the domain was resumed meanwhile: nothing more can be done in it. */
  isStale = false;

  readonly #base: StoreNode;
  readonly #view: Store;
  /** Every node that was looked at or changed, with its generation when the transaction started. */
  readonly #accessed = new Map<string, number | undefined>();
  readonly #edits: Edit[] = [];

  constructor(store: Store) {
    this.#base = store.root;
    this.#view = new Store(store.root);
  }

  get(path: string): StoreNode | undefined {
    if (!this.#accessed.has(path)) this.#accessed.set(path, lookup(this.#base, path)?.generation);
    return this.#view.get(path);
  }

  set(path: string, value: Buffer, permissions: Permissions): void {
    this.#edit({ path, value, permissions });
  }

  remove(path: string): void {
    this.#edit({ path, removed: true });
  }

  /**
   * Repeats the edits on the store.
   * @returns false, with nothing done, when somebody else has changed a node that this transaction used
   */
  commit(store: Store): boolean {
    if (this.isStale) return false;
    for (const [path, generation] of this.#accessed) {
      if (store.get(path)?.generation !== generation) return false;
    }
    for (const edit of this.#edits) store.apply(edit);
    return true;
  }

  #edit(edit: Edit): void {
    this.get(edit.path);
    this.#view.apply(edit);
    this.#edits.push(edit);
  }
}
