// SPDX-License-Identifier: LGPL-2.1-or-later
import type { ClockPort, LogPort } from '../../device/ports.js';
import { hasCode, messageOf } from '../../util/errors.js';
import { Backoff } from '../../util/retry.js';
import { withTimeout } from '../../util/timeout.js';
import { BusConnection } from './bus-connection.js';
import { isStandardError } from './errors.js';
import { NAME } from './interfaces.js';
import type { IncomingMessage } from './wire/message.js';

const TOPIC = 'dbus';
const RETRY_BASE_MS = 1_000;
const RETRY_CEILING_MS = 60_000;
const RELEASE_TIMEOUT_MS = 300;
/** RequestName's answer to who has to wait for the name; the bus gives it to him when it is free. */
const IN_QUEUE = '2';

/** What the link tells; each with the connection it is about. */
export interface LinkEvents {
  call(bus: BusConnection, message: IncomingMessage): void;
  /** A signal of the bus itself, other than those about our name. */
  busSignal(bus: BusConnection, message: IncomingMessage): void;
  /** A signal of anybody else. */
  signal(message: IncomingMessage): void;
  /** The name is ours: signals find those who listen to it. */
  owned(bus: BusConnection): void;
  /** The name, or the connection with it, is not ours any more. */
  disowned(): void;
  /** The connection has gone; all who called with it. */
  lost(): void;
}

/**
 * Keeps a connection to the bus, with our name on it. A bus that is down is tried again with growing pauses, until `stop`; while
 * it is up nothing happens on its own.
 */
export class BusLink {
  readonly #backoff = new Backoff(RETRY_BASE_MS, RETRY_CEILING_MS);
  #bus: BusConnection | undefined;
  #stopped = false;
  #reported: 'nothing' | 'up' | 'down' = 'nothing';
  #cancelRetry: () => void = () => undefined;

  constructor(
    private readonly address: string,
    private readonly events: LinkEvents,
    private readonly clock: ClockPort,
    private readonly log: LogPort,
  ) {}

  /** Tries to connect once; a bus that is down is tried again later. Never throws. */
  async start(): Promise<void> {
    await this.#connect();
  }

  /** Gives the name back and disconnects. Never throws. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry();
    const bus = this.#bus;
    this.#bus = undefined;
    if (bus === undefined) return;
    await withTimeout(bus.callBus('ReleaseName', 's', NAME), RELEASE_TIMEOUT_MS, 'ReleaseName').catch(
      () => undefined,
    );
    await bus.close();
  }

  async #connect(): Promise<void> {
    let bus: BusConnection | undefined;
    try {
      bus = await BusConnection.open(this.address, {
        call: (message) => {
          if (bus !== undefined) this.events.call(bus, message);
        },
        busSignal: (message) => {
          if (bus !== undefined) this.#busSignal(bus, message);
        },
        signal: (message) => {
          this.events.signal(message);
        },
        lost: (reason) => {
          this.#failed(reason);
        },
      });
      if (this.#isStopped()) {
        await bus.close();
        return;
      }
      this.#bus = bus;
      await this.#requestName(bus);
      this.#backoff.reset();
    } catch (error) {
      await bus?.close();
      // A connection that was lost meanwhile has told so itself.
      if (bus === undefined || this.#bus === bus) this.#failed(reasonOf(error));
    }
  }

  async #requestName(bus: BusConnection): Promise<void> {
    const answer = await bus.askBus('RequestName', 'su', NAME, 0);
    if (answer !== IN_QUEUE) return;
    const owner = await ownerOf(bus);
    this.#reported = 'down';
    this.log.error(
      TOPIC,
      `the name ${NAME} is held by ${owner}: desktop tools talk to that, until it ends; is xen-audiod started twice?`,
    );
  }

  #busSignal(bus: BusConnection, message: IncomingMessage): void {
    const isOurName = message.signature === 's' && message.body()[0] === NAME;
    if (isOurName && message.member === 'NameAcquired') {
      this.#report('up', `${NAME} is on the bus`);
      this.events.owned(bus);
    } else if (isOurName && message.member === 'NameLost') {
      this.#report('down', `the name ${NAME} was taken away`);
      this.events.disowned();
    } else this.events.busSignal(bus, message);
  }

  #failed(reason: string): void {
    const had = this.#bus !== undefined;
    this.#bus = undefined;
    if (had) {
      this.events.disowned();
      this.events.lost();
    }
    if (this.#stopped) return;
    this.#report('down', `no D-Bus at ${this.address} (${reason}); trying again until there is one`);
    this.#cancelRetry();
    this.#cancelRetry = this.clock.after(this.#backoff.fail(), () => {
      void this.#connect();
    });
  }

  /** A function, because the answer changes while somebody waits. */
  #isStopped(): boolean {
    return this.#stopped;
  }

  #report(state: 'up' | 'down', message: string): void {
    if (this.#reported === state) return;
    this.#reported = state;
    if (state === 'up') this.log.info(TOPIC, message);
    else this.log.warning(TOPIC, message);
  }
}

/** Who has the name, for people. */
const ownerOf = async (bus: BusConnection): Promise<string> => {
  try {
    const name = await bus.askBus('GetNameOwner', 's', NAME);
    const pid = await bus.askBus('GetConnectionUnixProcessID', 's', name);
    const uid = await bus.askBus('GetConnectionUnixUser', 's', name);
    return `process ${pid} of user ${uid} (${name})`;
  } catch (error) {
    if (hasCode(error, 'aborted')) throw error;
    return `somebody unknown (${messageOf(error)})`;
  }
};

const reasonOf = (error: unknown): string =>
  isStandardError(error, 'AccessDenied')
    ? `${error.message}; is org.xenproject.Audio1.conf in /usr/share/dbus-1/system.d?`
    : messageOf(error);
