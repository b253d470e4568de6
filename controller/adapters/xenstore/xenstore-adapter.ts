// SPDX-License-Identifier: LGPL-2.1-or-later
import koffi from 'koffi';
import type {
  LogPort,
  NodeGuard,
  NodePermissions,
  Watch,
  XenstorePort,
  XenstoreReader,
  XenstoreTransaction,
} from '../../device/ports.js';
import { XenAudioError } from '../../util/errors.js';
import { Connection, type Operation } from './connection.js';
import { watchForEnd } from './end-watch.js';
import { errnoName, LibXenstore, type CallResult } from './libxenstore.js';
import { WatchLoop } from './watch-loop.js';

const TOPIC = 'xenstore';
const TRANSACTION_TRIES = 8;
const OUTSIDE_TRANSACTION = 0;
/** `enum xs_perm_type`: what the owner's entry gives others, and what a reader's gives it. */
const XS_PERM_NONE = 0;
const XS_PERM_READ = 1;
const { ENOENT, EAGAIN, EACCES } = koffi.os.errno as Record<'ENOENT' | 'EAGAIN' | 'EACCES', number>;
/**
 * What calls fail with once xenstored has closed the connection. EINVAL is what libxenstore says to who waits for an answer
 * then; xenstored itself would say it of a malformed path only, and ours are built from numbers.
 */
const LOST_ERRNOS = ['EBADF', 'EINVAL', 'EPIPE', 'EIO', 'ECONNRESET', 'ENOTCONN'].map(
  (name) => koffi.os.errno[name],
);

/**
 * The domain's own connections to xenstore, over libxenstore: one for transactions, which are a third of all calls, and one for
 * the rest. Each carries one call at a time, with a time limit. Once either is lost, calls fail at once and watches are gone.
 */
export class XenstoreAdapter implements XenstorePort {
  readonly #listeners = new Map<string, (path: string) => void>();
  #loop: WatchLoop | undefined;
  #endWatching: () => void = () => undefined;
  #nextToken = 1;
  #lost = false;

  private constructor(
    private readonly library: LibXenstore,
    private readonly main: Connection,
    private readonly transactions: Connection,
    private readonly log: LogPort,
    private readonly onLost: (error: unknown) => void,
  ) {}

  /**
   * Connects (`XENSTORED_PATH`, xenstored's socket or the kernel's device, as libxenstore finds it).
   * @param onLost called once when the connection is found broken: nothing works any more
   */
  static async open(log: LogPort, onLost: (error: unknown) => void): Promise<XenstoreAdapter> {
    const library = new LibXenstore();
    const main = await Connection.open(library);
    let transactions: Connection;
    try {
      transactions = await Connection.open(library);
    } catch (error) {
      await main.close().catch(() => undefined);
      throw error;
    }
    const adapter = new XenstoreAdapter(library, main, transactions, log, onLost);
    try {
      await adapter.#startLoop();
    } catch (error) {
      await adapter.close().catch(() => undefined);
      throw error;
    }
    return adapter;
  }

  async close(): Promise<void> {
    this.#endWatching();
    await this.#loop?.stop();
    this.#listeners.clear();
    await Promise.all([this.main.close(), this.transactions.close()]);
  }

  read(path: string): Promise<string | undefined> {
    return this.#read(OUTSIDE_TRANSACTION, path);
  }

  list(path: string): Promise<string[] | undefined> {
    return this.#list(OUTSIDE_TRANSACTION, path);
  }

  async writeIf(
    directory: string,
    guard: NodeGuard,
    nodes: Readonly<Record<string, string>>,
  ): Promise<boolean> {
    return await this.#transaction(async (tx) => {
      const found = await this.#read(tx, `${directory}/${guard.node}`);
      if (found !== guard.value) return false;
      for (const [name, value] of Object.entries(nodes)) await this.#write(tx, `${directory}/${name}`, value);
      return true;
    });
  }

  write(path: string, value: string): Promise<void> {
    return this.#write(OUTSIDE_TRANSACTION, path, value);
  }

  async makePrivate(path: string, ownerDomid: number): Promise<void> {
    await this.#makeDirectory(OUTSIDE_TRANSACTION, path, { ownerDomid, readerDomids: [] });
  }

  remove(path: string): Promise<void> {
    return this.#remove(OUTSIDE_TRANSACTION, path);
  }

  snapshot<T>(body: (reader: XenstoreReader) => Promise<T>): Promise<T> {
    return this.transaction(body);
  }

  transaction<T>(body: (transaction: XenstoreTransaction) => Promise<T>): Promise<T> {
    return this.#transaction((tx) =>
      body({
        read: (path) => this.#read(tx, path),
        list: (path) => this.#list(tx, path),
        makeDirectory: async (path, permissions) => {
          await this.#remove(tx, path);
          await this.#makeDirectory(tx, path, permissions);
        },
        write: (path, value) => this.#write(tx, path, value),
        remove: (path) => this.#remove(tx, path),
      }),
    );
  }

  async watch(path: string, listener: (changedPath: string) => void): Promise<Watch> {
    const token = String(this.#nextToken);
    this.#nextToken += 1;
    this.#listeners.set(token, listener);
    this.#expectTrue('watch', path, await this.#call('watch', path, path, token));
    return {
      remove: async () => {
        if (!this.#listeners.delete(token) || this.#lost) return;
        this.#expectTrue('unwatch', path, await this.#call('unwatch', path, path, token));
      },
    };
  }

  async isDomainIntroduced(domid: number): Promise<boolean> {
    if (await this.#askIntroduced(domid)) return true;
    // Only a toolstack's domain may ask (XSA-115); others hear no of all, also of dom0, which is always there.
    return !(await this.#askIntroduced(0));
  }

  async #askIntroduced(domid: number): Promise<boolean> {
    const { value } = await this.#call('isDomainIntroduced', `domain ${domid}`, domid);
    return value === true;
  }

  async #startLoop(): Promise<void> {
    const { value, errno } = await this.#call('fileno', 'watch descriptor');
    if (Number(value) < 0) throw this.#failure('fileno', 'watch descriptor', errno);
    const deliver = (token: string, path: string): void => {
      this.log.debug(TOPIC, () => `watch ${path}`);
      this.#listeners.get(token)?.(path);
    };
    this.#loop = new WatchLoop(this.library, this.main.handle, Number(value), deliver, (error) => {
      this.#lose(error);
    });
    this.#loop.start();
    this.#endWatching = watchForEnd(process.env, () => {
      this.#lose(new XenAudioError('xenstore-lost', 'xenstore: xenstored has closed the connection'));
    });
  }

  async #read(tx: number, path: string): Promise<string | undefined> {
    const length = [0];
    const { value, errno } = await this.#callIn(tx, 'read', path, path, length);
    if (value !== null) return this.library.takeValue(value, length[0] ?? 0).toString('utf8');
    if (errno === ENOENT) return undefined;
    throw this.#failure('read', path, errno);
  }

  async #list(tx: number, path: string): Promise<string[] | undefined> {
    const count = [0];
    const { value, errno } = await this.#callIn(tx, 'directory', path, path, count);
    if (value !== null) return this.library.takeNames(value, count[0] ?? 0);
    if (errno === ENOENT) return undefined;
    throw this.#failure('directory', path, errno);
  }

  async #write(tx: number, path: string, value: string): Promise<void> {
    const octets = Buffer.from(value, 'utf8');
    this.#expectTrue('write', path, await this.#callIn(tx, 'write', path, path, octets, octets.length));
  }

  async #remove(tx: number, path: string): Promise<void> {
    const { value, errno } = await this.#callIn(tx, 'rm', path, path);
    if (value !== true && errno !== ENOENT) throw this.#failure('rm', path, errno);
  }

  /** Makes sure that a directory is there, with these permissions. */
  async #makeDirectory(tx: number, path: string, permissions: NodePermissions): Promise<void> {
    const readers = permissions.readerDomids.flatMap((domid) => [domid, XS_PERM_READ]);
    const entries = Uint32Array.of(permissions.ownerDomid, XS_PERM_NONE, ...readers);
    this.#expectTrue('mkdir', path, await this.#callIn(tx, 'mkdir', path, path));
    const permitted = [path, Buffer.from(entries.buffer), entries.length / 2];
    this.#expectTrue('setPermissions', path, await this.#callIn(tx, 'setPermissions', path, ...permitted));
  }

  /** Runs `body` in a transaction; again, a bounded number of times, when others wrote what it read. */
  async #transaction<T>(body: (tx: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; attempt <= TRANSACTION_TRIES; attempt += 1) {
      const { value: tx, errno } = await this.#callOn(this.transactions, 'transactionStart', 'transaction');
      if (tx === 0) throw this.#failure('transactionStart', 'transaction', errno);
      const result = await this.#inTransaction(Number(tx), body);
      const end = await this.#callIn(Number(tx), 'transactionEnd', 'transaction', false);
      if (end.value === true) return result;
      if (end.errno !== EAGAIN) throw this.#failure('transactionEnd', 'transaction', end.errno);
    }
    throw new XenAudioError(
      'xenstore',
      `a transaction met other writers ${TRANSACTION_TRIES} times in a row`,
    );
  }

  async #inTransaction<T>(tx: number, body: (tx: number) => Promise<T>): Promise<T> {
    try {
      return await body(tx);
    } catch (error) {
      await this.#callIn(tx, 'transactionEnd', 'transaction', true);
      throw error;
    }
  }

  #expectTrue(operation: Operation, subject: string, { value, errno }: CallResult): void {
    if (value !== true) throw this.#failure(operation, subject, errno);
  }

  #call(operation: Operation, subject: string, ...args: unknown[]): Promise<CallResult> {
    return this.#callOn(this.main, operation, subject, ...args);
  }

  /** A call in a transaction, or outside. */
  #callIn(tx: number, operation: Operation, subject: string, ...args: unknown[]): Promise<CallResult> {
    const connection = tx === OUTSIDE_TRANSACTION ? this.main : this.transactions;
    return this.#callOn(connection, operation, subject, tx, ...args);
  }

  #callOn(
    connection: Connection,
    operation: Operation,
    subject: string,
    ...args: unknown[]
  ): Promise<CallResult> {
    const check = (): void => {
      if (!this.#lost) return;
      throw new XenAudioError('xenstore-lost', `xenstore ${operation} ${subject}: the connection is lost`);
    };
    return connection.call(operation, subject, args, check);
  }

  #failure(operation: Operation, subject: string, errno: number): XenAudioError {
    const lost = this.#lost || LOST_ERRNOS.includes(errno);
    const message = `xenstore ${operation} ${subject}: ${errnoName(errno)}`;
    const denied = errno === EACCES ? 'xenstore-denied' : 'xenstore';
    const error = new XenAudioError(lost ? 'xenstore-lost' : denied, message);
    if (lost) this.#lose(error);
    return error;
  }

  #lose(error: unknown): void {
    if (this.#lost) return;
    this.#lost = true;
    this.onLost(error);
  }
}
