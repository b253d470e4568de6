// SPDX-License-Identifier: LGPL-2.1-or-later
import { connect, type Socket } from 'node:net';
import { messageOf, XenAudioError } from '../../util/errors.js';
import { withTimeout } from '../../util/timeout.js';
import { DbusError } from './errors.js';
import { socketsOf } from './wire/address.js';
import {
  decodeMessage,
  encodeMessage,
  MessageSplitter,
  type IncomingMessage,
  type OutgoingMessage,
} from './wire/message.js';
import type { DBusValue } from './wire/signature.js';

export const BUS_NAME = 'org.freedesktop.DBus';
const BUS_PATH = '/org/freedesktop/DBus';
const OPEN_TIMEOUT_MS = 5_000;
const CALL_TIMEOUT_MS = 5_000;
const CLOSE_TIMEOUT_MS = 200;
/** What may wait to be written before nothing more is read, octets: who asks faster than he is answered has to wait. */
const UNSENT_OCTETS_PAUSE = 1024 * 1024;
/** The same before the connection is given up: a bus that reads nothing any more is as good as gone. */
const UNSENT_OCTETS_MAX = 16 * 1024 * 1024;
const SERIAL_MAX = 0xffff_ffff;

/** What comes in on its own. */
export interface BusEvents {
  call(message: IncomingMessage): void;
  /** Signals of the bus itself. */
  busSignal(message: IncomingMessage): void;
  /** Signals of anybody else: who has sent it must be looked at. */
  signal(message: IncomingMessage): void;
  /** The connection has ended, though nobody closed it. */
  lost(reason: string): void;
}

interface PendingCall {
  readonly sender: string;
  readonly resolve: (reply: IncomingMessage) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A connection to a message bus. It exists from `open` until it is lost or closed; what waits for an answer then gets an error.
 */
export class BusConnection {
  readonly #splitter = new MessageSplitter();
  readonly #pending = new Map<number, PendingCall>();
  #serial = 0;
  #ended = false;
  #name = '';

  private constructor(
    private readonly socket: Socket,
    private readonly events: BusEvents,
  ) {}

  /**
   * Connects as this process' user.
   * @throws XenAudioError `timeout`, `aborted`; DbusError of the bus
   */
  static async open(address: string, events: BusEvents): Promise<BusConnection> {
    const sockets = socketsOf(address);
    let failure: unknown = new XenAudioError('aborted', `${address}: only Unix sockets are known`);
    for (const path of sockets) {
      const socket = connect(path);
      const connection = new BusConnection(socket, events);
      try {
        await withTimeout(connection.#greet(), OPEN_TIMEOUT_MS, `the bus at ${address}`);
        return connection;
      } catch (error) {
        connection.#ended = true;
        socket.destroy();
        failure = error;
      }
    }
    throw failure;
  }

  /** Our unique name. */
  get name(): string {
    return this.#name;
  }

  /**
   * Calls a method. `destination` is a unique name or the bus': what others send as an answer is none.
   * @throws DbusError what was answered; XenAudioError `timeout`, `aborted` (the connection has ended)
   */
  async call(
    message: Omit<OutgoingMessage, 'type'> & { readonly destination: string },
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<DBusValue[]> {
    const serial = this.#write({ ...message, type: 'call' });
    const reply = new Promise<IncomingMessage>((resolve, reject) => {
      this.#pending.set(serial, { sender: message.destination, resolve, reject });
    });
    try {
      const answer = await withTimeout(reply, timeoutMs, `${message.member ?? ''} of ${message.destination}`);
      return answer.body();
    } finally {
      this.#pending.delete(serial);
    }
  }

  /** Calls a method of the bus itself. */
  callBus(member: string, signature = '', ...body: readonly DBusValue[]): Promise<DBusValue[]> {
    return this.call({ destination: BUS_NAME, path: BUS_PATH, interface: BUS_NAME, member, signature, body });
  }

  /** The same, for the first value of the answer as text; empty when there is none. */
  async askBus(member: string, signature = '', ...body: readonly DBusValue[]): Promise<string> {
    const [value] = await this.callBus(member, signature, ...body);
    return typeof value === 'object' ? '' : String(value ?? '');
  }

  /** Sends a message that nobody answers. Does nothing once the connection has ended. @throws Error of `encodeMessage` */
  send(message: OutgoingMessage): void {
    if (!this.#ended) this.#write(message);
  }

  /** Ends the connection when what has been sent is on its way, or soon after. */
  async close(): Promise<void> {
    if (this.#end('closed')) {
      const flushed = new Promise<void>((resolve) => this.socket.end(resolve));
      await withTimeout(flushed, CLOSE_TIMEOUT_MS, 'closing').catch(() => undefined);
    }
    this.socket.destroy();
  }

  async #greet(): Promise<void> {
    const { socket } = this;
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.on('error', (error) => {
      this.#lose(messageOf(error));
    });
    socket.on('close', () => {
      this.#lose('the bus closed the connection');
    });
    socket.on('drain', () => {
      socket.resume();
    });
    await this.#authenticate();
    socket.on('data', (piece: Buffer) => {
      this.#receive(piece);
    });
    this.#name = await this.askBus('Hello');
  }

  /** SASL's EXTERNAL: the bus asks the kernel who we are. */
  async #authenticate(): Promise<void> {
    const user = Buffer.from(String(process.geteuid?.() ?? 0), 'ascii').toString('hex');
    const answer = new Promise<string>((resolve, reject) => {
      this.socket.once('data', (piece: Buffer) => {
        resolve(piece.toString('latin1'));
      });
      this.socket.once('close', () => {
        reject(new XenAudioError('aborted', 'the bus closed the connection'));
      });
    });
    this.socket.write(`\0AUTH EXTERNAL ${user}\r\n`);
    const line = await answer;
    if (!line.startsWith('OK ') || !line.endsWith('\r\n')) {
      throw new XenAudioError('aborted', `the bus does not accept this user: ${JSON.stringify(line)}`);
    }
    this.socket.write('BEGIN\r\n');
  }

  #receive(piece: Buffer): void {
    try {
      for (const octets of this.#splitter.push(piece)) this.#dispatch(decodeMessage(octets));
    } catch (error) {
      this.#lose(`what comes from the bus cannot be read: ${messageOf(error)}`);
    }
  }

  #dispatch(message: IncomingMessage): void {
    switch (message.type) {
      case 'call':
        this.events.call(message);
        break;
      case 'signal':
        if (message.sender === BUS_NAME) this.events.busSignal(message);
        else this.events.signal(message);
        break;
      case 'return':
      case 'error':
        this.#answered(message);
        break;
    }
  }

  #answered(message: IncomingMessage): void {
    const pending = this.#pending.get(message.replySerial ?? 0);
    if (pending === undefined || pending.sender !== message.sender) return;
    if (message.type === 'return') pending.resolve(message);
    else pending.reject(new DbusError(message.errorName ?? '', textOf(message)));
  }

  #write(message: OutgoingMessage): number {
    if (this.#ended) throw new XenAudioError('aborted', 'there is no connection to the bus');
    this.#serial = this.#serial === SERIAL_MAX ? 1 : this.#serial + 1;
    this.socket.write(encodeMessage(message, this.#serial));
    if (this.socket.writableLength > UNSENT_OCTETS_PAUSE) this.socket.pause();
    if (this.socket.writableLength > UNSENT_OCTETS_MAX) {
      queueMicrotask(() => {
        this.#lose('the bus does not read');
      });
    }
    return this.#serial;
  }

  #lose(reason: string): void {
    if (!this.#end(reason)) return;
    this.socket.destroy();
    if (this.#name !== '') this.events.lost(reason);
  }

  /** Returns whether it had not ended before. */
  #end(reason: string): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    for (const { reject } of this.#pending.values()) {
      reject(new XenAudioError('aborted', `the connection to the bus has ended: ${reason}`));
    }
    return true;
  }
}

const textOf = (message: IncomingMessage): string => {
  if (!message.signature.startsWith('s')) return '';
  try {
    const [text] = message.body();
    return typeof text === 'string' ? text : '';
  } catch {
    return '';
  }
};
