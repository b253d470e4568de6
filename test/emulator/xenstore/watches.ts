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

/** Which lists have watches on a path: of many connections, a change concerns few. */
export class WatchIndex {
  readonly #lists = new Map<string, Set<WatchList>>();

  enter(path: string, list: WatchList): void {
    const there = this.#lists.get(path);
    if (there === undefined) this.#lists.set(path, new Set([list]));
    else there.add(list);
  }

  leave(path: string, list: WatchList): void {
    const there = this.#lists.get(path);
    there?.delete(list);
    if (there?.size === 0) this.#lists.delete(path);
  }

  /** Those with a watch on any of the paths. */
  concerned(paths: readonly string[]): Set<WatchList> {
    return new Set(paths.flatMap((path) => [...(this.#lists.get(path) ?? [])]));
  }
}

export class WatchList {
  /** In the order they were set. */
  readonly #watches = new Set<Watch>();
  /** By absolute path, for one base. */
  readonly #byPath = new Map<string, Set<Watch>>();
  #base = '';

  /** @param index of all lists that the same changes concern */
  constructor(private index = new WatchIndex()) {}

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
    const there = this.#byPath.get(absolute);
    there?.delete(watch);
    if (there?.size === 0) {
      this.#byPath.delete(absolute);
      this.index.leave(absolute, this);
    }
  }

  clear(): void {
    this.#watches.clear();
    this.#forgetPaths();
  }

  /** From now on the changes of another store concern it. */
  moveTo(index: WatchIndex): void {
    for (const path of this.#byPath.keys()) {
      this.index.leave(path, this);
      index.enter(path, this);
    }
    this.index = index;
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
    this.follow(base);
    const concerned: Watch[] = [];
    for (const path of watched) concerned.push(...(this.#byPath.get(path) ?? NONE));
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
    return [...(this.#byPath.get(name) ?? NONE)];
  }

  /** A domain that was resumed as another has its relative paths elsewhere. */
  follow(base: string): void {
    if (base === this.#base) return;
    this.#base = base;
    this.#forgetPaths();
    for (const watch of this.#watches) this.#enter(canonicalise(watch.path, base), watch);
  }

  #find(absolute: string, token: string, base: string): Watch | undefined {
    this.follow(base);
    return [...(this.#byPath.get(absolute) ?? NONE)].find((watch) => watch.token === token);
  }

  #enter(absolute: string, watch: Watch): void {
    const there = this.#byPath.get(absolute);
    if (there !== undefined) {
      there.add(watch);
      return;
    }
    this.#byPath.set(absolute, new Set([watch]));
    this.index.enter(absolute, this);
  }

  #forgetPaths(): void {
    for (const path of this.#byPath.keys()) this.index.leave(path, this);
    this.#byPath.clear();
  }
}
