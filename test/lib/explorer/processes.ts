// SPDX-License-Identifier: LGPL-2.1-or-later
import type {
  ClockPort,
  NodeGuard,
  PulseModule,
  PulsePort,
  Watch,
  XenstorePort,
  XenstoreReader,
  XenstoreTransaction,
} from '../../../controller/device/ports.js';
import { XenAudioError } from '../../../controller/util/errors.js';
import type { FakeXenstore } from '../fake-ports.js';
import type { Gate } from './gate.js';
import type { SoundServer } from './sound-server.js';

/** Time that passes only when told, for several processes. */
export class Time {
  nowMs = 1_000_000;
  #timers: { readonly atMs: number; readonly listener: () => void; readonly owner: object }[] = [];

  get pending(): number {
    return this.#timers.length;
  }

  /** When the next timer ends. */
  get nextMs(): number | undefined {
    return this.#timers.length === 0 ? undefined : Math.min(...this.#timers.map(({ atMs }) => atMs));
  }

  after(owner: object, delayMs: number, listener: () => void): () => void {
    const timer = { atMs: this.nowMs + delayMs, listener, owner };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** A process has died. */
  drop(owner: object): void {
    this.#timers = this.#timers.filter((timer) => timer.owner !== owner);
  }

  /** Passes time until the next timer, at most until `endMs`. Returns whether one ended. */
  advance(endMs: number): boolean {
    const next = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0];
    if (next === undefined || next.atMs > endMs) {
      this.nowMs = Math.max(this.nowMs, endMs);
      return false;
    }
    this.#timers = this.#timers.filter((timer) => timer !== next);
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.listener();
    return true;
  }
}

/** The clock of one process. */
export class ProcessClock implements ClockPort {
  constructor(private readonly time: Time) {}

  nowMs(): number {
    return this.time.nowMs;
  }

  wallMs(): number {
    return this.time.nowMs + 1_700_000_000_000;
  }

  after(delayMs: number, listener: () => void): () => void {
    return this.time.after(this, delayMs, listener);
  }
}

/** One connection to xenstore, whose calls wait at a gate. */
export class Connection implements XenstorePort {
  /** The next call fails. */
  failNext = false;
  #lost = false;
  readonly #watches = new Set<Watch>();

  constructor(
    private readonly store: FakeXenstore,
    private readonly gate: Gate,
    /** Told of what was written, before anybody else. */
    private readonly onWrite: (directory: string, nodes: Readonly<Record<string, string>>) => void,
  ) {}

  /** The connection breaks: calls fail from now on, and watches are silent. */
  async lose(): Promise<void> {
    this.#lost = true;
    for (const watch of [...this.#watches]) await watch.remove();
  }

  read(path: string): Promise<string | undefined> {
    return this.#call(() => this.store.read(path));
  }

  list(path: string): Promise<string[] | undefined> {
    return this.#call(() => this.store.list(path));
  }

  writeIf(directory: string, guard: NodeGuard, nodes: Readonly<Record<string, string>>): Promise<boolean> {
    return this.#call(() => {
      if (this.store.nodes.get(`${directory}/${guard.node}`) === guard.value) this.onWrite(directory, nodes);
      return this.store.writeIf(directory, guard, nodes);
    });
  }

  write(path: string, value: string): Promise<void> {
    return this.#call(() => this.store.write(path, value));
  }

  makePrivate(path: string, ownerDomid: number): Promise<void> {
    return this.#call(() => this.store.makePrivate(path, ownerDomid));
  }

  remove(path: string): Promise<void> {
    return this.#call(() => this.store.remove(path));
  }

  /** Atomic: a transaction that others disturb is repeated, so that only the one nobody disturbs counts. */
  snapshot<T>(body: (reader: XenstoreReader) => Promise<T>): Promise<T> {
    return this.#call(() => this.store.snapshot(body));
  }

  transaction<T>(body: (transaction: XenstoreTransaction) => Promise<T>): Promise<T> {
    return this.#call(() => this.store.transaction(body));
  }

  async watch(path: string, listener: (changedPath: string) => void): Promise<Watch> {
    const waiting = new Set<string>();
    let ended = false;
    const heard = (changed: string): void => {
      if (waiting.has(changed)) return; // several changes may give one call
      waiting.add(changed);
      void this.gate.run('watch', () => {
        waiting.delete(changed);
        if (!ended && !this.#lost) listener(changed);
        return Promise.resolve();
      });
    };
    const inner = await this.#call(() => this.store.watch(path, heard));
    this.#watches.add(inner);
    return {
      remove: async () => {
        ended = true;
        if (!this.#lost) await this.#call(() => inner.remove());
        this.#watches.delete(inner);
      },
    };
  }

  isDomainIntroduced(domid: number): Promise<boolean> {
    return this.#call(() => this.store.isDomainIntroduced(domid));
  }

  #call<T>(job: () => Promise<T>): Promise<T> {
    return this.gate.run('xenstore', () => {
      if (this.#lost) return Promise.reject(new XenAudioError('xenstore-lost', 'the connection is lost'));
      if (!this.failNext) return job();
      this.failNext = false;
      return Promise.reject(new XenAudioError('xenstore', 'a call that fails'));
    });
  }
}

/** A process's connection to the sound server, whose calls wait at a gate. */
export class ServerConnection implements PulsePort {
  /** The next load is refused; the next call is done, but its answer lost with the connection. */
  refuseNext = false;
  loseNext = false;
  readonly #listeners = new Set<() => void>();
  #up: boolean;
  #changedMs = 0;

  constructor(
    private readonly server: SoundServer,
    private readonly gate: Gate,
    private readonly time: Time,
  ) {
    this.#up = server.runs;
  }

  /** Whether it has been there for long enough to be asked what it has loaded. */
  get isKnown(): boolean {
    return this.#up && this.#changedMs < this.time.nowMs;
  }

  get isUp(): boolean {
    return this.#up;
  }

  setUp(up: boolean): void {
    this.#up = up;
    this.#changedMs = this.time.nowMs;
    for (const listener of this.#listeners) listener();
  }

  modules(): Promise<PulseModule[]> {
    return this.#call(() => [...this.server.loaded]);
  }

  sinks(): Promise<string[]> {
    return this.#call(() => []);
  }

  sources(): Promise<string[]> {
    return this.#call(() => []);
  }

  loadModule(name: string, argument: string): Promise<PulseModule> {
    return this.#call(() => {
      const module = this.refuseNext ? undefined : this.server.load(name, argument);
      this.refuseNext = false;
      if (module === undefined) throw new XenAudioError('pulse-refused', 'the server did not load it');
      return module;
    });
  }

  unloadModule(module: PulseModule): Promise<void> {
    return this.#call(() => {
      this.server.unload(module);
    });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #call<T>(job: () => T): Promise<T> {
    const down = (): XenAudioError => new XenAudioError('pulse-down', 'the sound server is down');
    return this.gate.run('pulse', async () => {
      if (!this.#up) throw down();
      const result = job();
      if (!this.loseNext) return await Promise.resolve(result);
      this.loseNext = false;
      this.#up = false; // nobody is told of it but by the error
      throw down();
    });
  }
}
