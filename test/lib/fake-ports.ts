// SPDX-License-Identifier: LGPL-2.1-or-later
import type {
  ClockPort,
  LogMessage,
  LogPort,
  NodeGuard,
  NodePermissions,
  PulseModule,
  PulsePort,
  Watch,
  XenstorePort,
  XenstoreReader,
  XenstoreTransaction,
} from '../../controller/device/ports.js';
import { XenAudioError } from '../../controller/util/errors.js';
import { SerialQueue } from '../../controller/util/queue.js';

/** Lets everything run that needs neither time nor I/O. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 200; turn += 1) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
};

/** Time that passes only when told. */
export class FakeClock implements ClockPort {
  #nowMs = 1_000_000;
  #timers: { atMs: number; listener: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + 1_700_000_000_000;
  }

  get pending(): number {
    return this.#timers.length;
  }

  after(delayMs: number, listener: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, listener };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Passes time, in order, and lets what it sets off run. */
  async advance(byMs: number): Promise<void> {
    const endMs = this.#nowMs + byMs;
    await settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.#timers = this.#timers.filter((timer) => timer !== next);
      next.listener();
      await settle();
    }
    this.#nowMs = endMs;
  }

  #next(endMs: number): { atMs: number; listener: () => void } | undefined {
    return this.#timers.filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
  }
}

/** Keeps the lines. */
export class FakeLog implements LogPort {
  readonly lines: string[] = [];

  error(topic: string, message: LogMessage): void {
    this.#keep('error', topic, message);
  }

  warning(topic: string, message: LogMessage): void {
    this.#keep('warning', topic, message);
  }

  info(topic: string, message: LogMessage): void {
    this.#keep('info', topic, message);
  }

  debug(topic: string, message: LogMessage): void {
    this.#keep('debug', topic, message);
  }

  matching(pattern: RegExp): string[] {
    return this.lines.filter((line) => pattern.test(line));
  }

  #keep(level: string, topic: string, message: LogMessage): void {
    this.lines.push(`${level} ${topic} ${typeof message === 'string' ? message : message()}`);
  }
}

interface FakeWatch {
  readonly path: string;
  readonly listener: (path: string) => void;
}

/** A xenstore in memory; `put` and `drop` act as the other writers. */
export class FakeXenstore implements XenstorePort {
  readonly nodes = new Map<string, string>();
  readonly owners = new Map<string, number>();
  /** Of directories that a transaction made. */
  readonly permissions = new Map<string, NodePermissions>();
  /** Makes writes of transactions fail: called with the path, returns what to throw. */
  failWrite: ((path: string) => Error | undefined) | undefined;
  readonly #transactions = new SerialQueue();
  /** Changes of the running transaction, which nobody is told of yet. */
  #held: string[] | undefined;
  readonly introduced = new Set<number>();
  readonly watches = new Set<FakeWatch>();
  /** All values each node has had, in order. */
  readonly history: { path: string; value: string }[] = [];

  read(path: string): Promise<string | undefined> {
    return Promise.resolve(this.nodes.get(path));
  }

  list(path: string): Promise<string[] | undefined> {
    const below = [...this.nodes.keys()].filter((node) => node.startsWith(`${path}/`));
    const names = new Set(below.map((node) => node.slice(path.length + 1).split('/')[0] ?? ''));
    return Promise.resolve(names.size === 0 && !this.nodes.has(path) ? undefined : [...names]);
  }

  writeIf(directory: string, guard: NodeGuard, nodes: Readonly<Record<string, string>>): Promise<boolean> {
    if (this.nodes.get(`${directory}/${guard.node}`) !== guard.value) return Promise.resolve(false);
    for (const [name, value] of Object.entries(nodes)) this.put(`${directory}/${name}`, value);
    return Promise.resolve(true);
  }

  write(path: string, value: string): Promise<void> {
    this.put(path, value);
    return Promise.resolve();
  }

  makePrivate(path: string, ownerDomid: number): Promise<void> {
    this.put(path, this.nodes.get(path) ?? '');
    this.owners.set(path, ownerDomid);
    return Promise.resolve();
  }

  remove(path: string): Promise<void> {
    this.drop(path);
    return Promise.resolve();
  }

  snapshot<T>(body: (reader: XenstoreReader) => Promise<T>): Promise<T> {
    return body(this);
  }

  transaction<T>(body: (transaction: XenstoreTransaction) => Promise<T>): Promise<T> {
    return this.#transactions.run(() => this.#transact(body));
  }

  async #transact<T>(body: (transaction: XenstoreTransaction) => Promise<T>): Promise<T> {
    const before = new Map(this.nodes);
    const changed: string[] = [];
    this.#held = changed;
    try {
      return await body(this.#transaction());
    } catch (error) {
      changed.length = 0;
      this.nodes.clear();
      for (const [path, value] of before) this.nodes.set(path, value);
      throw error;
    } finally {
      this.#held = undefined;
      for (const path of changed) this.fire(path);
    }
  }

  #transaction(): XenstoreTransaction {
    const writing = async (path: string, act: () => void): Promise<void> => {
      const failure = this.failWrite?.(path);
      if (failure !== undefined) throw failure;
      act();
      await Promise.resolve();
    };
    return {
      read: (path) => this.read(path),
      list: (path) => this.list(path),
      makeDirectory: (path, permissions) =>
        writing(path, () => {
          this.drop(path);
          this.put(path, '');
          this.permissions.set(path, permissions);
        }),
      write: (path, value) =>
        writing(path, () => {
          this.put(path, value);
        }),
      remove: (path) =>
        writing(path, () => {
          this.drop(path);
        }),
    };
  }

  watch(path: string, listener: (changedPath: string) => void): Promise<Watch> {
    const watch = { path, listener };
    this.watches.add(watch);
    listener(path);
    return Promise.resolve({
      remove: () => {
        this.watches.delete(watch);
        return Promise.resolve();
      },
    });
  }

  isDomainIntroduced(domid: number): Promise<boolean> {
    return Promise.resolve(this.introduced.has(domid));
  }

  put(path: string, value: string): void {
    this.nodes.set(path, value);
    this.history.push({ path, value });
    this.fire(path);
  }

  putAll(directory: string, nodes: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(nodes)) this.put(`${directory}/${name}`, value);
  }

  drop(path: string): void {
    for (const node of [...this.nodes.keys()]) {
      if (node === path || node.startsWith(`${path}/`)) this.nodes.delete(node);
    }
    this.fire(path);
  }

  fire(path: string): void {
    if (this.#held !== undefined) {
      this.#held.push(path);
      return;
    }
    for (const watch of [...this.watches]) {
      const inside = path === watch.path || path.startsWith(`${watch.path}/`);
      const above = watch.path.startsWith(`${path}/`) && !this.nodes.has(path);
      if (inside || above) watch.listener(inside ? path : watch.path);
    }
  }

  /** The values a node has had. */
  valuesOf(path: string): string[] {
    return this.history.filter((entry) => entry.path === path).map((entry) => entry.value);
  }
}

/** A sound server that loads any module at once. */
export class FakePulse implements PulsePort {
  isUp = true;
  readonly loaded: PulseModule[] = [];
  readonly sinkNames = ['speakers', 'headset'];
  readonly sourceNames = ['mic', 'headset.mic'];
  /** Makes the next loads fail: called with the argument, returns what to throw. */
  failLoad: ((argument: string) => Error | undefined) | undefined;
  readonly #listeners = new Set<() => void>();
  #nextIndex = 10;

  modules(): Promise<PulseModule[]> {
    return this.isUp ? Promise.resolve([...this.loaded]) : Promise.reject(down());
  }

  sinks(): Promise<string[]> {
    return this.isUp ? Promise.resolve([...this.sinkNames]) : Promise.reject(down());
  }

  sources(): Promise<string[]> {
    return this.isUp ? Promise.resolve([...this.sourceNames]) : Promise.reject(down());
  }

  loadModule(name: string, argument: string): Promise<PulseModule> {
    if (!this.isUp) return Promise.reject(down());
    const failure = this.failLoad?.(argument);
    if (failure !== undefined) return Promise.reject(failure);
    const module = { index: this.#nextIndex, name, argument };
    this.#nextIndex += 1;
    this.loaded.push(module);
    return Promise.resolve(module);
  }

  unloadModule(module: PulseModule): Promise<void> {
    const position = this.loaded.findIndex((other) => other.index === module.index);
    if (position >= 0) this.loaded.splice(position, 1);
    return this.isUp ? Promise.resolve() : Promise.reject(down());
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** The server dies, and its modules with it. */
  die(): void {
    this.isUp = false;
    this.loaded.length = 0;
    this.changed();
  }

  comeBack(): void {
    this.isUp = true;
    this.changed();
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

const down = (): XenAudioError => new XenAudioError('pulse-down', 'the sound server is down');
