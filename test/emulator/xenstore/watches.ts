// SPDX-License-Identifier: LGPL-2.1-or-later
/** The watches of one connection, and which of them an event concerns. Pure. */
import type { Change } from './operations.js';
import { canonicalise, isRelative, isSpecial, isWithin } from './paths.js';
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

export class WatchList {
  readonly #watches: Watch[] = [];

  get size(): number {
    return this.#watches.length;
  }

  /** @throws StoreError EINVAL for a malformed path, EEXIST when path and token are in use */
  add(path: string, token: string, base: string): WatchEvent {
    const absolute = canonicalise(path, base);
    if (this.#find(absolute, token, base) >= 0)
      throw new StoreError('EEXIST', `${path} with ${token} is watched`);
    this.#watches.push({ path, token });
    return { path, token };
  }

  /** @throws StoreError ENOENT when there is no such watch */
  remove(path: string, token: string, base: string): void {
    const index = this.#find(canonicalise(path, base), token, base);
    if (index < 0) throw new StoreError('ENOENT', `${path} with ${token} is not watched`);
    this.#watches.splice(index, 1);
  }

  clear(): void {
    this.#watches.length = 0;
  }

  /** An event for every watch, as after a resume. */
  all(): WatchEvent[] {
    return this.#watches.map(({ path, token }) => ({ path, token }));
  }

  /** The events a change of a node makes for a watcher; none if he may not know of the node. */
  match(change: Change, watcher: Caller, base: string): WatchEvent[] {
    if (this.#watches.length === 0) return [];
    if (!change.visibleBy.some((permissions) => isAllowed(watcher, permissions, 'read'))) return [];
    const concerned = this.#watches.filter((watch) => {
      const watched = canonicalise(watch.path, base);
      return change.isExact ? watched === change.path : isWithin(change.path, watched);
    });
    return concerned.map((watch) => ({
      path: isRelative(watch.path) ? change.path.slice(base.length + 1) : change.path,
      token: watch.token,
    }));
  }

  /** The events of `@introduceDomain` and `@releaseDomain`, which only dom0 gets. */
  matchSpecial(name: string, watcher: Caller): WatchEvent[] {
    if (!isPrivileged(watcher)) return [];
    return this.#watches.filter(({ path }) => isSpecial(path) && path === name);
  }

  #find(absolute: string, token: string, base: string): number {
    return this.#watches.findIndex(
      (watch) => watch.token === token && canonicalise(watch.path, base) === absolute,
    );
  }
}
