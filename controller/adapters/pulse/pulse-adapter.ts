// SPDX-License-Identifier: LGPL-2.1-or-later
import PulseAudio from 'pulseaudio2';
import type { ClockPort, LogPort, PulseModule, PulsePort } from '../../device/ports.js';
import { messageOf, XenAudioError } from '../../util/errors.js';
import { SerialQueue } from '../../util/queue.js';
import { Backoff } from '../../util/retry.js';
import { withTimeout } from '../../util/timeout.js';
import { watchFileIfPossible } from '../system/watch-file.js';
import { nearestToSocket } from './server-address.js';

const TOPIC = 'pulse';
const PA_INVALID_INDEX = 0xffff_ffff;
const RETRY_BASE_MS = 100;
const RETRY_CEILING_MS = 15_000;
/** Re-reads of the list of modules after an unload: the server frees a module a moment after it has answered. */
const UNLOAD_CHECKS = 50;
const UNLOAD_CHECK_MS = 20;

/** Settings of the connection. */
export interface PulseAdapterOptions {
  /** Address as in `PULSE_SERVER`; undefined: as the environment says. */
  readonly server: string | undefined;
  /** Longest wait for one answer, milliseconds. */
  readonly timeoutMs: number;
}

/**
 * The sound server, over pulseaudio2. That library reports failures as success, and never answers once the server is gone,
 * so: every call has a time limit, what was done is read back from the list of modules, and after any failure the
 * context is dropped and a fresh one made. Calls run one after the other. A server that is down is tried again,
 * with growing pauses, and as soon as something happens where its socket is, until `stop`.
 */
export class PulseAdapter implements PulsePort {
  readonly #queue = new SerialQueue();
  readonly #backoff = new Backoff(RETRY_BASE_MS, RETRY_CEILING_MS);
  readonly #listeners = new Set<() => void>();
  #context: PulseAudio | undefined;
  #stopped = false;
  #reported: 'nothing' | 'up' | 'down' = 'nothing';
  #cancelRetry: () => void = () => undefined;

  constructor(
    private readonly options: PulseAdapterOptions,
    private readonly clock: ClockPort,
    private readonly log: LogPort,
  ) {}

  get isUp(): boolean {
    return this.#context !== undefined;
  }

  /** Tries to connect once; a server that is down is tried again later. */
  async start(): Promise<void> {
    await this.#queue.run(() => this.#connect());
  }

  /** Disconnects; loaded modules stay loaded. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry();
    await this.#queue.idle();
    this.#dropContext();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  modules(): Promise<PulseModule[]> {
    return this.#queue.run(() => this.#listModules());
  }

  sinks(): Promise<string[]> {
    return this.#queue.run(async () =>
      namesOf(await this.#ask('listing sinks', (context) => context.sink())),
    );
  }

  sources(): Promise<string[]> {
    return this.#queue.run(async () =>
      namesOf(await this.#ask('listing sources', (context) => context.source())),
    );
  }

  loadModule(name: string, argument: string): Promise<PulseModule> {
    return this.#queue.run(async () => {
      const index = await this.#ask(`loading ${name}`, (context) => context.loadModule(name, argument));
      const loaded = (await this.#listModules()).find(
        (module) => module.index === index && module.name === name && module.argument === argument,
      );
      if (index !== PA_INVALID_INDEX && loaded !== undefined) return loaded;
      throw new XenAudioError(
        'pulse-refused',
        `the sound server did not load ${name}: its log says why (is the module in its dl-search-path?)`,
      );
    });
  }

  unloadModule(module: PulseModule): Promise<void> {
    return this.#queue.run(async () => {
      if (!(await this.#isLoaded(module))) return;
      await this.#ask(`unloading module ${module.index}`, (context) => context.unloadModule(module.index));
      for (let check = 0; check < UNLOAD_CHECKS; check += 1) {
        if (!(await this.#isLoaded(module))) return;
        await new Promise<void>((resolve) => this.clock.after(UNLOAD_CHECK_MS, resolve));
      }
      throw new XenAudioError('pulse-refused', `the sound server did not unload module ${module.index}`);
    });
  }

  async #isLoaded({ index, name, argument }: PulseModule): Promise<boolean> {
    const modules = await this.#listModules();
    return modules.some(
      (module) => module.index === index && module.name === name && module.argument === argument,
    );
  }

  async #listModules(): Promise<PulseModule[]> {
    const modules = await this.#ask('listing modules', (context) => context.modules());
    if (modules.length > 0) return modules;
    throw this.#failed(this.#context, new Error('the list of modules came back empty'));
  }

  async #ask<T>(what: string, call: (context: PulseAudio) => Promise<T>): Promise<T> {
    const context = this.#context;
    if (context === undefined) throw new XenAudioError('pulse-down', `${what}: the sound server is down`);
    try {
      return await withTimeout(call(context), this.options.timeoutMs, what);
    } catch (error) {
      throw this.#failed(context, error);
    }
  }

  /** Drops a context that failed and asks for a fresh one. */
  #failed(context: PulseAudio | undefined, cause: unknown): XenAudioError {
    if (context !== undefined && context === this.#context) {
      this.#dropContext();
      this.#reconnect();
    }
    return new XenAudioError('pulse-down', `the sound server does not answer: ${messageOf(cause)}`, {
      cause,
    });
  }

  /** A server that has died is found gone at the first try: only then is it said to be down. */
  #reconnect(): void {
    if (this.#stopped) return;
    void this.#queue.run(() => this.#connect());
  }

  /** Never throws: failure means another try later. */
  async #connect(): Promise<void> {
    if (this.#stopped || this.#context !== undefined) return;
    this.#cancelRetry();
    try {
      this.#context = await this.#openContext();
      this.#backoff.reset();
      this.#report('up', 'connected to the sound server');
    } catch (error) {
      const where = this.options.server ?? 'the default server';
      this.#report(
        'down',
        `no sound server at ${where} (${messageOf(error)}); trying again until there is one`,
      );
      this.#retryLater();
    }
  }

  #retryLater(): void {
    const cancelTimer = this.clock.after(this.#backoff.fail(), () => {
      this.#reconnect();
    });
    const socket = nearestToSocket(this.options.server, process.env);
    const hopeful = (): void => {
      this.#backoff.reset(); // it listens a moment after its socket is there
      this.#reconnect();
    };
    const endWatch = socket === undefined ? undefined : watchFileIfPossible(socket, this.clock, hopeful);
    this.#cancelRetry = () => {
      cancelTimer();
      endWatch?.();
    };
  }

  async #openContext(): Promise<PulseAudio> {
    // The library ignores its own `server` option; libpulse reads the variable when the context connects.
    if (this.options.server !== undefined) process.env['PULSE_SERVER'] = this.options.server;
    const context = new PulseAudio({ client: 'xen-audiod', flags: 'noautospawn' });
    const connected = new Promise<void>((resolve, reject) => {
      context.once('connection', resolve);
      context.on('error', (error) => {
        reject(error);
        this.#failed(context, error);
      });
      context.once('close', () => {
        reject(new Error('connection closed'));
        this.#failed(context, new Error('connection closed'));
      });
    });
    try {
      await withTimeout(connected, this.options.timeoutMs, 'connecting');
      return context;
    } catch (error) {
      context.end();
      throw error;
    }
  }

  #dropContext(): void {
    const context = this.#context;
    this.#context = undefined;
    context?.end();
  }

  /** One line and one call of the listeners per change; coming back unnoticed is a change of what is loaded. */
  #report(state: 'up' | 'down', message: string): void {
    const changed = state !== this.#reported;
    if (changed && state === 'up') this.log.info(TOPIC, message);
    if (changed && state === 'down') this.log.warning(TOPIC, message);
    this.#reported = state;
    if (changed || state === 'up') for (const listener of this.#listeners) listener();
  }
}

const namesOf = (devices: readonly { readonly name: string }[]): string[] => devices.map(({ name }) => name);
