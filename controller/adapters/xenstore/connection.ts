// SPDX-License-Identifier: LGPL-2.1-or-later
import { XenAudioError } from '../../util/errors.js';
import { SerialQueue } from '../../util/queue.js';
import { withTimeout } from '../../util/timeout.js';
import { errnoName, type CallResult, type LibXenstore, type XsHandle } from './libxenstore.js';

export type Operation = Parameters<LibXenstore['call']>[0];

const CALL_TIMEOUT_MS = 5000;

/** A handle of libxenstore's, which carries one call at a time. */
export class Connection {
  readonly #queue = new SerialQueue();

  private constructor(
    private readonly library: LibXenstore,
    readonly handle: XsHandle,
  ) {}

  /** @throws XenAudioError `xenstore`, `timeout` */
  static async open(library: LibXenstore): Promise<Connection> {
    const { value, errno } = await withTimeout(library.call('open', 0), CALL_TIMEOUT_MS, 'opening xenstore');
    if (value !== null) return new Connection(library, value as XsHandle);
    throw new XenAudioError(
      'xenstore',
      `xenstore cannot be opened (${errnoName(errno)}): does this system run on Xen, with xenstored started?`,
    );
  }

  /**
   * Calls a function of the library with the handle and more arguments, when what was called before has its answer.
   * @param subject of the call, for messages
   * @param check throws when there is no use in it any more
   */
  call(
    operation: Operation,
    subject: string,
    args: readonly unknown[] = [],
    check: () => void = () => undefined,
  ): Promise<CallResult> {
    const call = this.#queue.run(() => {
      check();
      return this.library.call(operation, this.handle, ...args);
    });
    return withTimeout(call, CALL_TIMEOUT_MS, `xenstore ${operation} ${subject}`);
  }

  /** Frees what the library holds, behind all calls, which need the handle; not in vain when the connection is lost. */
  async close(): Promise<void> {
    await this.call('close', 'connection');
  }
}
