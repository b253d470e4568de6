// SPDX-License-Identifier: LGPL-2.1-or-later
/** The xenstore daemon of a host: any number of connections of each domain. */
import type net from 'node:net';
import type { Faults } from '../faults.js';
import type { Change } from './operations.js';
import { domainPath } from './paths.js';
import type { Caller } from './permissions.js';
import { handleRequest, type DomainDirectory, type Session } from './requests.js';
import { Store } from './store.js';
import type { Transaction } from './transactions.js';
import { watchedPaths, WatchIndex, WatchList, type WatchEvent } from './watches.js';
import {
  encodeMessage,
  encodeStrings,
  MessageDecoder,
  MessageType,
  StoreError,
  type Message,
} from './wire.js';

/** Above this much unread output a client's requests wait; */
const OUTPUT_PAUSE_BYTES = 64 * 1024;
/** above this much it loses its connection. */
const OUTPUT_MAX_BYTES = 1024 * 1024;

/** Whose program is connected. */
export interface Client extends Caller {
  readonly faults: Faults;
}

/** What a domain holds in xenstore. */
export interface StoreCounts {
  watches: number;
  transactions: number;
  connections: number;
}

export class XenstoreServer {
  readonly store = new Store();
  readonly watches = new WatchIndex();
  readonly #connections = new Map<WatchList, Connection>();

  constructor(
    readonly domains: DomainDirectory,
    readonly log: (text: string) => void,
  ) {}

  /** A program of a domain has connected. The caller may change the domain's domid later. */
  accept(socket: net.Socket, domain: Client): void {
    const connection = new Connection(socket, domain, this);
    const { watches } = connection.session;
    this.#connections.set(watches, connection);
    socket.on('close', () => {
      watches.clear();
      connection.server.#connections.delete(watches);
    });
  }

  /** A domain goes on at another host: its connections stay open, as the kernel's would, and are served there. */
  handOver(domain: Caller, to: XenstoreServer): void {
    for (const connection of this.#connectionsOf(domain)) {
      this.#connections.delete(connection.session.watches);
      to.#connections.set(connection.session.watches, connection);
      connection.moveTo(to);
    }
  }

  /** Tells every watcher who may know of these changes; all but one domain, if that is not running now. */
  fire(changes: readonly Change[], suspended?: Caller): void {
    for (const change of changes) {
      const watched = watchedPaths(change);
      for (const watches of this.watches.concerned(watched)) {
        const connection = this.#connections.get(watches);
        if (connection?.session.caller !== suspended) connection?.notify(change, watched);
      }
    }
  }

  /** `@introduceDomain` or `@releaseDomain`. */
  fireSpecial(name: string): void {
    for (const connection of this.#connections.values()) connection.notifySpecial(name);
  }

  /** After a resume: transactions are void, and each watch fires once. */
  resume(domain: Caller): void {
    for (const connection of this.#connectionsOf(domain)) connection.resume();
  }

  disconnect(domain: Caller): void {
    for (const connection of this.#connectionsOf(domain)) connection.close();
  }

  counts(domain: Caller): StoreCounts {
    const connections = this.#connectionsOf(domain);
    const sum = (size: (session: Session) => number): number =>
      connections.reduce((total, { session }) => total + size(session), 0);
    return {
      watches: sum((session) => session.watches.size),
      transactions: sum((session) => session.transactions.size),
      connections: connections.length,
    };
  }

  #connectionsOf(domain: Caller): Connection[] {
    return [...this.#connections.values()].filter(({ session }) => session.caller === domain);
  }
}

class Connection {
  readonly session: Session;
  readonly #decoder = new MessageDecoder();

  constructor(
    private readonly socket: net.Socket,
    private readonly domain: Client,
    public server: XenstoreServer,
  ) {
    const transactions = new Map<number, Transaction>();
    this.session = {
      caller: domain,
      store: server.store,
      domains: server.domains,
      watches: new WatchList(server.watches),
      transactions,
      lastTransactionId: 0,
    };
    socket.on('data', (octets: Buffer) => {
      this.#receive(octets);
    });
    socket.on('drain', () => socket.resume());
    // A client that dies in the middle of an exchange is no concern of ours: 'close' follows.
    socket.on('error', () => undefined);
  }

  moveTo(server: XenstoreServer): void {
    this.server = server;
    this.session.store = server.store;
    this.session.watches.moveTo(server.watches);
    this.session.domains = server.domains;
  }

  notify(change: Change, watched: readonly string[]): void {
    const { watches } = this.session;
    this.#sendEvents(watches.match(change, watched, this.domain, domainPath(this.domain.domid)));
  }

  notifySpecial(name: string): void {
    this.#sendEvents(this.session.watches.matchSpecial(name, this.domain));
  }

  resume(): void {
    for (const transaction of this.session.transactions.values()) transaction.isStale = true;
    this.session.watches.follow(domainPath(this.domain.domid));
    this.#sendEvents(this.session.watches.all());
  }

  close(): void {
    this.socket.destroy();
  }

  #receive(octets: Buffer): void {
    this.socket.cork(); // what is answered at once is sent at once
    try {
      for (const message of this.#decoder.push(octets)) this.#answer(message);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.server.log(
        `xenstore: domain ${this.domain.domid} sent ${error.message}; its connection is closed`,
      );
      this.#send({
        type: MessageType.ERROR,
        requestId: 0,
        transactionId: 0,
        payload: encodeStrings(error.code),
      });
      this.socket.destroySoon();
    } finally {
      this.socket.uncork();
    }
  }

  #answer(message: Message): void {
    try {
      if (message.type === MessageType.WRITE && this.domain.faults.strikes('write')) {
        throw new StoreError('ENOSPC', 'a write is ordered to fail');
      }
      const { payload, changes, events } = handleRequest(this.session, message);
      this.#send({ ...message, payload });
      this.#sendEvents(events ?? []);
      this.server.fire(changes ?? []);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#send({ ...message, type: MessageType.ERROR, payload: encodeStrings(error.code) });
    }
  }

  #sendEvents(events: readonly WatchEvent[]): void {
    for (const { path, token } of events) {
      const payload = encodeStrings(path, token);
      this.#send({ type: MessageType.WATCH_EVENT, requestId: 0, transactionId: 0, payload });
    }
  }

  #send(message: Message): void {
    if (!this.socket.writable) return;
    this.socket.write(encodeMessage(message));
    const { writableLength } = this.socket;
    if (writableLength > OUTPUT_PAUSE_BYTES) this.socket.pause();
    if (writableLength > OUTPUT_MAX_BYTES) {
      this.server.log(`xenstore: domain ${this.domain.domid} does not read; its connection is closed`);
      this.socket.destroy();
    }
  }
}
