// SPDX-License-Identifier: LGPL-2.1-or-later
import koffi from 'koffi';
import type { LogPort, NodeGuard, Watch, XenstorePort, XenstoreReader } from '../../device/ports.js';
import { XenAudioError } from '../../util/errors.js';
import { SerialQueue } from '../../util/queue.js';
import { withTimeout } from '../../util/timeout.js';
import { errnoName, LibXenstore, type CallResult, type XsHandle } from './libxenstore.js';
import { WatchLoop } from './watch-loop.js';

type Operation = Parameters<LibXenstore['call']>[0];

const TOPIC = 'xenstore';
const CALL_TIMEOUT_MS = 5000;
const TRANSACTION_TRIES = 8;
const OUTSIDE_TRANSACTION = 0;
const XS_PERM_NONE = 0;
const { ENOENT, EAGAIN } = koffi.os.errno as { ENOENT: number; EAGAIN: number };
/** What calls fail with once xenstored has closed the connection. */
const LOST_ERRNOS = ['EBADF', 'EPIPE', 'EIO', 'ECONNRESET', 'ENOTCONN'].map((name) => koffi.os.errno[name]);

/**
 * The domain's own connection to xenstore, over libxenstore. One call at a time runs on it, each with a time limit.
 * libxenstore does not say when xenstored closes the connection: it is noticed at the next call.
 */
export class XenstoreAdapter implements XenstorePort {
  readonly #queue = new SerialQueue();
  readonly #listeners = new Map<string, (path: string) => void>();
  #loop: WatchLoop | undefined;
  #nextToken = 1;
  #lost = false;

  private constructor(
    private readonly library: LibXenstore,
    private readonly handle: XsHandle,
    private readonly log: LogPort,
    private readonly onLost: (error: unknown) => void,
  ) {}

  /**
   * Opens the connection (`XENSTORED_PATH`, xenstored's socket or the kernel's device, as libxenstore finds it).
   * @param onLost called once when the connection is found broken: nothing works any more
   */
  static async open(log: LogPort, onLost: (error: unknown) => void): Promise<XenstoreAdapter> {
    const library = new LibXenstore();
    const { value, errno } = await withTimeout(library.call('open', 0), CALL_TIMEOUT_MS, 'opening xenstore');
    if (value === null) {
      throw new XenAudioError(
        'xenstore',
        `xenstore cannot be opened (${errnoName(errno)}): does this system run on Xen, with xenstored started?`,
      );
    }
    const adapter = new XenstoreAdapter(library, value as XsHandle, log, onLost);
    await adapter.#startLoop();
    return adapter;
  }

  async close(): Promise<void> {
    await this.#loop?.stop();
    this.#listeners.clear();
    await this.#call('close', 'closing');
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
    const permissions = Buffer.from(Uint32Array.of(ownerDomid, XS_PERM_NONE).buffer);
    await this.#expectTrue('mkdir', path, OUTSIDE_TRANSACTION, path);
    await this.#expectTrue('setPermissions', path, OUTSIDE_TRANSACTION, path, permissions, 1);
  }

  async remove(path: string): Promise<void> {
    const { value, errno } = await this.#call('rm', path, OUTSIDE_TRANSACTION, path);
    if (value !== true && errno !== ENOENT) throw this.#failure('rm', path, errno);
  }

  snapshot<T>(body: (reader: XenstoreReader) => Promise<T>): Promise<T> {
    return this.#transaction((tx) =>
      body({ read: (path) => this.#read(tx, path), list: (path) => this.#list(tx, path) }),
    );
  }

  async watch(path: string, listener: (changedPath: string) => void): Promise<Watch> {
    const token = String(this.#nextToken);
    this.#nextToken += 1;
    this.#listeners.set(token, listener);
    await this.#expectTrue('watch', path, path, token);
    return {
      remove: async () => {
        if (this.#listeners.delete(token)) await this.#expectTrue('unwatch', path, path, token);
      },
    };
  }

  async isDomainIntroduced(domid: number): Promise<boolean> {
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
    this.#loop = new WatchLoop(this.library, this.handle, Number(value), deliver, (error) => {
      this.#lose(error);
    });
    this.#loop.start();
  }

  async #read(tx: number, path: string): Promise<string | undefined> {
    const length = [0];
    const { value, errno } = await this.#call('read', path, tx, path, length);
    if (value !== null) return this.library.takeValue(value, length[0] ?? 0).toString('utf8');
    if (errno === ENOENT) return undefined;
    throw this.#failure('read', path, errno);
  }

  async #list(tx: number, path: string): Promise<string[] | undefined> {
    const count = [0];
    const { value, errno } = await this.#call('directory', path, tx, path, count);
    if (value !== null) return this.library.takeNames(value, count[0] ?? 0);
    if (errno === ENOENT) return undefined;
    throw this.#failure('directory', path, errno);
  }

  async #write(tx: number, path: string, value: string): Promise<void> {
    const octets = Buffer.from(value, 'utf8');
    await this.#expectTrue('write', path, tx, path, octets, octets.length);
  }

  /** Runs `body` in a transaction; again, a bounded number of times, when others wrote what it read. */
  async #transaction<T>(body: (tx: number) => Promise<T>): Promise<T> {
    for (let attempt = 1; attempt <= TRANSACTION_TRIES; attempt += 1) {
      const { value: tx, errno } = await this.#call('transactionStart', 'transaction');
      if (tx === 0) throw this.#failure('transactionStart', 'transaction', errno);
      const result = await this.#inTransaction(Number(tx), body);
      const end = await this.#call('transactionEnd', 'transaction', tx, false);
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
      await this.#call('transactionEnd', 'transaction', tx, true);
      throw error;
    }
  }

  async #expectTrue(operation: Operation, subject: string, ...args: unknown[]): Promise<void> {
    const { value, errno } = await this.#call(operation, subject, ...args);
    if (value !== true) throw this.#failure(operation, subject, errno);
  }

  #call(operation: Operation, subject: string, ...args: unknown[]): Promise<CallResult> {
    const call = this.#queue.run(() => this.library.call(operation, this.handle, ...args));
    return withTimeout(call, CALL_TIMEOUT_MS, `xenstore ${operation} ${subject}`);
  }

  #failure(operation: Operation, subject: string, errno: number): XenAudioError {
    const lost = LOST_ERRNOS.includes(errno);
    const message = `xenstore ${operation} ${subject}: ${errnoName(errno)}`;
    const error = new XenAudioError(lost ? 'xenstore-lost' : 'xenstore', message);
    if (lost) this.#lose(error);
    return error;
  }

  #lose(error: unknown): void {
    if (this.#lost) return;
    this.#lost = true;
    this.onLost(error);
  }
}
