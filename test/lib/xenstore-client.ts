// SPDX-License-Identifier: LGPL-2.1-or-later
/** A small xenstore client over a socket, for tests and tools; the product uses libxenstore. */
import net from 'node:net';
import {
  decodeStrings,
  encodeMessage,
  encodeStrings,
  MessageDecoder,
  MessageType,
  STORE_ERRORS,
  StoreError,
  type Message,
  type StoreErrorCode,
} from '../emulator/xenstore/wire.js';
import { within } from './wait.js';

const REQUEST_TIMEOUT_MS = 5000;
const TRANSACTION_TRIES = 20;

/** Called with the path that changed, in the form the watch was set with. */
export type WatchCallback = (path: string, token: string) => void;

/** Reads and writes of one transaction, or of none. Rejections are StoreErrors with the code of the daemon. */
export class XenstoreAccess {
  constructor(
    protected readonly request: (type: number, payload: Buffer, transactionId: number) => Promise<Buffer>,
    private readonly transactionId = 0,
  ) {}

  async read(path: string): Promise<string> {
    return (await this.#send(MessageType.READ, encodeStrings(path))).toString();
  }

  /** As read; undefined for a node that does not exist. */
  async tryRead(path: string): Promise<string | undefined> {
    try {
      return await this.read(path);
    } catch (error) {
      if (error instanceof StoreError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async write(path: string, value: string): Promise<void> {
    await this.#send(MessageType.WRITE, Buffer.concat([encodeStrings(path), Buffer.from(value)]));
  }

  async mkdir(path: string): Promise<void> {
    await this.#send(MessageType.MKDIR, encodeStrings(path));
  }

  /** The names of a node's children; undefined for a node that does not exist. */
  async directory(path: string): Promise<string[] | undefined> {
    try {
      return decodeStrings(await this.#send(MessageType.DIRECTORY, encodeStrings(path)));
    } catch (error) {
      if (error instanceof StoreError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Removes a node and all below it. */
  async rm(path: string): Promise<void> {
    await this.#send(MessageType.RM, encodeStrings(path));
  }

  /** Permissions in the form of the wire: `n0`, `r5`. */
  async getPerms(path: string): Promise<string[]> {
    return decodeStrings(await this.#send(MessageType.GET_PERMS, encodeStrings(path)));
  }

  async setPerms(path: string, permissions: readonly string[]): Promise<void> {
    await this.#send(MessageType.SET_PERMS, encodeStrings(path, ...permissions));
  }

  #send(type: number, payload: Buffer): Promise<Buffer> {
    return this.request(type, payload, this.transactionId);
  }
}

interface Waiter {
  readonly resolve: (payload: Buffer) => void;
  readonly reject: (error: Error) => void;
}

export class XenstoreClient extends XenstoreAccess {
  readonly #socket: net.Socket;
  readonly #decoder = new MessageDecoder();
  readonly #waiting = new Map<number, Waiter>();
  readonly #callbacks = new Map<string, WatchCallback>();
  #lastRequestId = 0;
  #failure: Error | undefined;

  private constructor(
    socket: net.Socket,
    private readonly socketPath: string,
  ) {
    super((type, payload, transactionId) => this.#request(type, payload, transactionId));
    this.#socket = socket;
    socket.on('data', (octets: Buffer) => {
      for (const message of this.#decoder.push(octets)) this.#dispatch(message);
    });
    socket.on('error', (error) => {
      this.#fail(error);
    });
    socket.on('close', () => {
      this.#fail(new Error(`xenstore closed the connection to ${socketPath}`));
    });
  }

  /** Connects to the xenstored.sock of a domain. */
  static async open(socketPath: string): Promise<XenstoreClient> {
    const socket = net.connect(socketPath);
    const connected = new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    await within(`xenstore at ${socketPath}`, REQUEST_TIMEOUT_MS, connected);
    return new XenstoreClient(socket, socketPath);
  }

  /** Watches a path and all below it; the callback is called once straight away. Tokens must differ. */
  async watch(path: string, token: string, callback: WatchCallback): Promise<void> {
    if (this.#callbacks.has(token)) throw new Error(`the token '${token}' is in use`);
    this.#callbacks.set(token, callback);
    try {
      await this.#request(MessageType.WATCH, encodeStrings(path, token), 0);
    } catch (error) {
      this.#callbacks.delete(token);
      throw error;
    }
  }

  async unwatch(path: string, token: string): Promise<void> {
    await this.#request(MessageType.UNWATCH, encodeStrings(path, token), 0);
    this.#callbacks.delete(token);
  }

  /**
   * Runs act in a transaction, again if another client was in the way. What act throws ends the transaction.
   * @throws StoreError EAGAIN after 20 tries
   */
  async transaction<T>(act: (access: XenstoreAccess) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const id = Number(
        decodeStrings(await this.#request(MessageType.TRANSACTION_START, encodeStrings(''), 0))[0],
      );
      try {
        const result = await this.#actOrAbort(id, act);
        await this.#request(MessageType.TRANSACTION_END, encodeStrings('T'), id);
        return result;
      } catch (error) {
        const isConflict = error instanceof StoreError && error.code === 'EAGAIN';
        if (!isConflict || attempt === TRANSACTION_TRIES) throw error;
      }
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #actOrAbort<T>(id: number, act: (access: XenstoreAccess) => Promise<T>): Promise<T> {
    try {
      return await act(new XenstoreAccess(this.request, id));
    } catch (error) {
      await this.#request(MessageType.TRANSACTION_END, encodeStrings('F'), id);
      throw error;
    }
  }

  async #request(type: number, payload: Buffer, transactionId: number): Promise<Buffer> {
    if (this.#failure !== undefined) throw this.#failure;
    const requestId = ++this.#lastRequestId;
    const answer = new Promise<Buffer>((resolve, reject) =>
      this.#waiting.set(requestId, { resolve, reject }),
    );
    this.#socket.write(encodeMessage({ type, requestId, transactionId, payload }));
    const what = `xenstore's answer to request ${type} for '${payload.toString('latin1').split('\0')[0] ?? ''}'`;
    return within(`${what} at ${this.socketPath}`, REQUEST_TIMEOUT_MS, answer);
  }

  #dispatch(message: Message): void {
    if (message.type === MessageType.WATCH_EVENT) {
      const [path = '', token = ''] = decodeStrings(message.payload);
      this.#callbacks.get(token)?.(path, token);
      return;
    }
    const waiter = this.#waiting.get(message.requestId);
    this.#waiting.delete(message.requestId);
    if (message.type === MessageType.ERROR) waiter?.reject(toError(message.payload));
    else waiter?.resolve(message.payload);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

function toError(payload: Buffer): Error {
  const [name = ''] = decodeStrings(payload);
  const isKnown = (STORE_ERRORS as readonly string[]).includes(name);
  return isKnown
    ? new StoreError(name as StoreErrorCode, 'refused by xenstore')
    : new Error(`xenstore: ${name}`);
}
