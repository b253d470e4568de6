// SPDX-License-Identifier: LGPL-2.1-or-later
import type { EventEmitter } from 'node:events';
import { Message, MessageType, sessionBus, type MessageBus, type ProxyObject } from 'dbus-next';
import { messageOf } from '../../util/errors.js';
import { withTimeout } from '../../util/timeout.js';
import { CommandError, Status } from '../status.js';
import type { BusAddress } from './address.js';

const DAEMON = { service: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus' } as const;

/** A connection to a message bus. Each of its calls ends: with an answer, at the time limit, or with the connection. */
export class Bus {
  /** Rejects when the connection has gone and `close` was not called. */
  readonly lost: Promise<never>;
  #closed = false;

  private constructor(
    private readonly bus: MessageBus,
    readonly label: string,
    private readonly timeoutMs: number,
  ) {
    this.lost = new Promise((_resolve, reject) => {
      const fail = (why: string): void => {
        if (this.#closed) return;
        reject(new CommandError(Status.notRunning, `cannot reach ${label}: ${why}`));
      };
      bus.on('error', (error: unknown) => {
        fail(messageOf(error));
      });
      connectionOf(bus).once('end', () => {
        fail('it has closed the connection');
      });
    });
    this.lost.catch(() => undefined); // who waits for it is told; nobody need
  }

  /** @param timeoutMs limit of each call. @throws CommandError `notRunning`; XenAudioError `timeout` */
  static async connect({ address, label }: BusAddress, timeoutMs: number): Promise<Bus> {
    // The other methods of dbus-next fall over a refusal of the first.
    const bus = new Bus(sessionBus({ busAddress: address, authMethods: ['EXTERNAL'] }), label, timeoutMs);
    try {
      await bus.#bounded(new Promise<void>((resolve) => void bus.bus.once('connect', resolve)), label);
    } catch (error) {
      bus.close();
      throw error;
    }
    return bus;
  }

  /** An object of a service, with the interfaces that `xml` describes. */
  async object(service: string, path: string, xml: string): Promise<RemoteObject> {
    const proxy = await this.#bounded(this.bus.getProxyObject(service, path, xml), service);
    return new RemoteObject(proxy, (work, what) => this.#bounded(work, what));
  }

  /** Calls `listener` for each signal that the rules of `match` let through. */
  onSignal(listener: (signal: Message) => void): void {
    this.bus.on('message', (message) => {
      if (message.type === MessageType.SIGNAL) listener(message);
    });
  }

  /** Asks the bus for signals; `rule` as in the D-Bus specification. */
  async match(rule: string): Promise<void> {
    await this.#callBus('AddMatch', `type='signal',${rule}`);
  }

  /** The connection that owns a name; undefined when none does. */
  async ownerOf(name: string): Promise<string | undefined> {
    const owned = await this.#callBus('NameHasOwner', name);
    return owned[0] === true ? String((await this.#callBus('GetNameOwner', name))[0]) : undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.bus.disconnect();
  }

  async #callBus(member: string, argument: string): Promise<unknown[]> {
    const { service, path } = DAEMON;
    const call = { destination: service, path, interface: service, member, signature: 's', body: [argument] };
    const reply = await this.#bounded(this.bus.call(new Message(call)), `${this.label}, ${member}`);
    return Array.from(reply?.body ?? [], (value): unknown => value);
  }

  #bounded<T>(work: Promise<T>, what: string): Promise<T> {
    return withTimeout(Promise.race([work, this.lost]), this.timeoutMs, what);
  }
}

/** An object at the other side of a bus. */
export class RemoteObject {
  constructor(
    private readonly proxy: ProxyObject,
    private readonly bounded: (work: Promise<unknown>, what: string) => Promise<unknown>,
  ) {}

  get path(): string {
    return this.proxy.path;
  }

  /** Calls a method; what comes back is yet to be checked. @throws DBusError; as `Bus` */
  async call(interfaceName: string, member: string, ...args: unknown[]): Promise<unknown> {
    const method = this.proxy.getInterface(interfaceName)[member];
    if (method === undefined) throw new Error(`${interfaceName} has no method ${member}`);
    return this.bounded(method(...args), `${this.proxy.name}, ${member}`);
  }
}

/** dbus-next keeps the end of its connection to itself: calls in flight would wait for ever. */
const connectionOf = (bus: MessageBus): EventEmitter =>
  (bus as unknown as { readonly _connection: EventEmitter })._connection;
