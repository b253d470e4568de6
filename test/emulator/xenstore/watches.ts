// SPDX-License-Identifier: LGPL-2.1-or-later
/** The watches of one connection, and which of them an event concerns. Pure. */
import type { Change } from './operations.js';
import { canonicalise, isRelative, lineage } from './paths.js';
import { isAllowed, isPrivileged, type Caller } from './permissions.js';
import { StoreError } from './wire.js';

interface Watch {
  /** As the client gave it: relative or absolute. */
  readonly path: string;
  readonly token: string;
}

/** What a WATCH_EVENT says. */
export interface WatchEvent {
  readonly path: string;
  readonly token: string;
}

/** The absolute paths whose watches a change concerns. */
export const watchedPaths = (change: Change): string[] =>
  change.isExact ? [change.path] : lineage(change.path);

const NONE: readonly Watch[] = [];

export class WatchList {
  /** In the order they were set. */
  readonly #watches = new Set<Watch>();
  /** By absolute path, for one base. */
  readonly #index = new Map<string, Set<Watch>>();
  #base = '';

  get size(): number {
    return this.#watches.size;
  }

  /** @throws StoreError EINVAL for a malformed path, EEXIST when path and token are in use */
  add(path: string, token: string, base: string): WatchEvent {
    const absolute = canonicalise(path, base);
    if (this.#find(absolute, token, base) !== undefined)
      throw new StoreError('EEXIST', `${path} with ${token} is watched`);
    const watch = { path, token };
    this.#watches.add(watch);
    this.#enter(absolute, watch);
    return watch;
  }

  /** @throws StoreError ENOENT when there is no such watch */
  remove(path: string, token: string, base: string): void {
    const absolute = canonicalise(path, base);
    const watch = this.#find(absolute, token, base);
    if (watch === undefined) throw new StoreError('ENOENT', `${path} with ${token} is not watched`);
    this.#watches.delete(watch);
    const there = this.#index.get(absolute);
    there?.delete(watch);
    if (there?.size === 0) this.#index.delete(absolute);
  }

  clear(): void {
    this.#watches.clear();
    this.#index.clear();
  }

  /** An event for every watch, as after a resume. */
  all(): WatchEvent[] {
    return [...this.#watches];
  }

  /**
   * The events a change of a node makes for a watcher; none if he may not know of the node.
   * @param watched the change's `watchedPaths`
   */
  match(change: Change, watched: readonly string[], watcher: Caller, base: string): WatchEvent[] {
    if (this.#watches.size === 0) return [];
    this.#follow(base);
    const concerned: Watch[] = [];
    for (const path of watched) concerned.push(...(this.#index.get(path) ?? NONE));
    if (concerned.length === 0) return [];
    if (!change.visibleBy.some((permissions) => isAllowed(watcher, permissions, 'read'))) return [];
    return concerned.map((watch) => ({
      path: isRelative(watch.path) ? change.path.slice(base.length + 1) : change.path,
      token: watch.token,
    }));
  }

  /** The events of `@introduceDomain` and `@releaseDomain`, which only dom0 gets. */
  matchSpecial(name: string, watcher: Caller): WatchEvent[] {
    if (!isPrivileged(watcher)) return [];
    return [...(this.#index.get(name) ?? NONE)];
  }

  #find(absolute: string, token: string, base: string): Watch | undefined {
    this.#follow(base);
    return [...(this.#index.get(absolute) ?? NONE)].find((watch) => watch.token === token);
  }

  /** A domain that was resumed as another has its relative paths elsewhere. */
  #follow(base: string): void {
    if (base === this.#base) return;
    this.#base = base;
    this.#index.clear();
    for (const watch of this.#watches) this.#enter(canonicalise(watch.path, base), watch);
  }

  #enter(absolute: string, watch: Watch): void {
    const there = this.#index.get(absolute);
    if (there === undefined) this.#index.set(absolute, new Set([watch]));
    else there.add(watch);
  }
}
