// SPDX-License-Identifier: LGPL-2.1-or-later
import type { LogPort } from '../../device/ports.js';
import { messageOf } from '../../util/errors.js';
import { SerialQueue } from '../../util/queue.js';
import { withTimeout } from '../../util/timeout.js';
import { BUS_NAME, type BusConnection } from '../dbus/bus-connection.js';
import type { IncomingMessage } from '../dbus/wire/message.js';
import type { Inhibitor } from './inhibitor.js';

const TOPIC = 'sleep';
const LOGIN = 'org.freedesktop.login1';
const PATH = '/org/freedesktop/login1';
const MANAGER = `${LOGIN}.Manager`;
/** logind itself waits 5 s by default. */
const PAUSE_TIMEOUT_MS = 3_000;

/** What is done about sleep; each resolves when it is done. */
export interface Sleeper {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/**
 * Hears of logind that the machine is about to sleep, and has woken up, and holds sleep up in between. Without logind nothing
 * happens. It has no connection of its own: it is told of the one that D-Bus calls come by.
 */
export class SleepWatch {
  readonly #queue = new SerialQueue();
  #bus: BusConnection | undefined;
  /** Unique name of logind; empty while it is not there. */
  #login = '';
  #inhibitor: Inhibitor | undefined;
  #asleep = false;
  #saidAbsent = false;

  constructor(
    private readonly sleeper: Sleeper,
    private readonly takeInhibitor: (log: LogPort) => Inhibitor,
    private readonly log: LogPort,
  ) {}

  /** A connection to the bus is there. */
  attach(bus: BusConnection): void {
    this.#bus = bus;
    void this.#queue.run(async () => {
      try {
        await bus.callBus(
          'AddMatch',
          's',
          `type='signal',sender='${LOGIN}',path='${PATH}',member='PrepareForSleep'`,
        );
        await bus.callBus(
          'AddMatch',
          's',
          `type='signal',sender='${BUS_NAME}',member='NameOwnerChanged',arg0='${LOGIN}'`,
        );
        await this.#follow(
          (await bus.askBus('NameHasOwner', 's', LOGIN)) === 'true' ? await ownerOf(bus) : '',
        );
      } catch (error) {
        this.log.debug(TOPIC, `the machine's sleep will not be noticed: ${messageOf(error)}`);
      }
    });
  }

  /** It has gone: whether the machine has woken up would not be told any more. */
  detach(): void {
    this.#bus = undefined;
    void this.#queue.run(() => this.#follow(''));
  }

  /** A signal of the bus, or of anybody on it. Never throws. */
  signal(message: IncomingMessage): void {
    const { member, path, signature, sender } = message;
    if (!message.complete) return; // neither the bus nor logind sends so much
    if (member === 'NameOwnerChanged' && signature === 'sss' && sender === BUS_NAME) {
      const [name, , owner] = message.body().map(String);
      if (name === LOGIN) void this.#queue.run(() => this.#follow(owner ?? ''));
    } else if (member === 'PrepareForSleep' && path === PATH && signature === 'b') {
      if (message.interface !== MANAGER || sender === undefined) return;
      const before = message.body()[0] === true;
      void this.#queue.run(async () => {
        if (sender === this.#login) await (before ? this.#pause() : this.#resume());
      });
    }
  }

  /** Nothing holds sleep up afterwards. Never throws. */
  async stop(): Promise<void> {
    this.#bus = undefined;
    await this.#queue.run(() => this.#release());
  }

  async #follow(login: string): Promise<void> {
    if (this.#login === login) {
      this.#sayAbsent();
      return;
    }
    this.#login = login;
    await this.#release();
    if (login === '') return this.#resume();
    this.#inhibitor = this.takeInhibitor(this.log);
  }

  #sayAbsent(): void {
    if (this.#login !== '' || this.#saidAbsent) return;
    this.#saidAbsent = true;
    this.log.debug(TOPIC, `no ${LOGIN} on the bus: the machine's sleep will not be noticed`);
  }

  async #pause(): Promise<void> {
    if (!this.#asleep) {
      this.#asleep = true;
      this.log.info(TOPIC, 'the machine is about to sleep: the streams of guests pause');
      await this.#bounded(this.sleeper.pause(), 'pausing');
    }
    await this.#release();
  }

  async #resume(): Promise<void> {
    if (this.#asleep) {
      this.#asleep = false;
      this.log.info(TOPIC, 'the machine is awake: the streams of guests go on');
      await this.#bounded(this.sleeper.resume(), 'going on');
    }
    if (this.#login !== '' && this.#bus !== undefined) this.#inhibitor ??= this.takeInhibitor(this.log);
  }

  async #release(): Promise<void> {
    const inhibitor = this.#inhibitor;
    this.#inhibitor = undefined;
    await inhibitor?.release();
  }

  /** The machine sleeps and wakes up whatever we do. */
  async #bounded(work: Promise<void>, what: string): Promise<void> {
    try {
      await withTimeout(work, PAUSE_TIMEOUT_MS, what);
    } catch (error) {
      this.log.warning(TOPIC, messageOf(error));
    }
  }
}

const ownerOf = (bus: BusConnection): Promise<string> => bus.askBus('GetNameOwner', 's', LOGIN);
