// SPDX-License-Identifier: LGPL-2.1-or-later
import { ApiError, type CardLayout } from '../api/audio-api.js';
import type {
  ClockPort,
  LogPort,
  XenstorePort,
  XenstoreReader,
  XenstoreTransaction,
} from '../device/ports.js';
import { findGuest } from '../api/find-guest.js';
import { hasCode, messageOf } from '../util/errors.js';
import { quoted } from '../util/text.js';
import { backendPath, guestPath, type DeviceId } from '../xenbus/paths.js';
import { cardPaths, libxlDomainPath, libxlPath, planCards, type CardPlan } from './cards.js';
import { listDomains, readCards } from './domains.js';
import { watchUntil, type WaitEnd } from './watch-until.js';

/** What a toolstack needs of the daemon around it. */
export interface ToolstackContext {
  /** Domain whose backends serve the cards: this one. */
  readonly ownDomid: number;
  readonly xenstore: XenstorePort;
  readonly clock: ClockPort;
  readonly log: LogPort;
}

const TOPIC = 'toolstack';
/** What libxl gives a backend to answer, and to let go (LIBXL_INIT_TIMEOUT, LIBXL_DESTROY_TIMEOUT). */
const BACKEND_TIMEOUT_MS = 10_000;
const INITIALISING = '1';
const CLOSING = '5';
const CLOSED = '6';
/** Values of `online`: the card is wanted, or on its way out. */
const WANTED = '1';
const LEAVING = '0';

/**
 * Gives running domains sound cards and takes them away, as `xl vsnd-attach` and `xl vsnd-detach` do: the same nodes,
 * steps and time limits, but for libxl's own record of the domain's configuration, which is not in xenstore.
 */
export class Toolstack {
  readonly #pending = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();

  constructor(private readonly context: ToolstackContext) {}

  /**
   * The running domain that a name, a UUID or a number means.
   * @throws ApiError `NoSuchGuest`, `AmbiguousGuest`, `XenstoreDown`
   */
  findDomain(text: string): Promise<number> {
    return this.#run(async () => {
      const { xenstore, ownDomid } = this.context;
      return findGuest(await listDomains(xenstore, ownDomid), text).domid;
    });
  }

  /**
   * Makes the cards of a layout and waits until the backend has answered for each. Returns their devids.
   * @throws ApiError `AlreadyAttached`, `NoSuchGuest`, `Timeout`, `XenstoreDown`, `Failed`; then no card has been left
   */
  attach(domid: number, layout: CardLayout): Promise<number[]> {
    return this.#run(async () => {
      const cards = planCards(layout, domid, this.context.ownDomid);
      const ids = cards.map(({ id }) => id);
      await this.#writeCards(domid, cards);
      try {
        await this.#awaitAnswers(domid, ids);
      } catch (error) {
        await this.#takeBack(ids);
        throw error;
      }
      const devids = ids.map(({ devid }) => devid);
      this.context.log.info(TOPIC, `domain ${domid}: attached card ${devids.join(', ')} (${layout})`);
      return devids;
    });
  }

  /**
   * Asks the backend to let go of a card, and removes it when that has, or by force at the limit.
   * @throws ApiError `NoSuchDevice`, `XenstoreDown`; `Timeout` and `Failed` (the daemon stops) after a removal by force
   */
  detach(domid: number, devid: number): Promise<void> {
    return this.#run(async () => {
      const id = { domid, devid };
      await this.context.xenstore.transaction((transaction) => this.#askToLeave(transaction, id));
      const end = await this.#awaitLeave(id);
      await this.#remove([id], LEAVING);
      if (end === 'done') {
        this.context.log.info(TOPIC, `domain ${domid}: detached card ${devid}`);
        return;
      }
      const why = end === 'timeout' ? `was not let go within ${limitText}` : 'was on its way out';
      throw failure(
        end,
        `card ${devid} of domain ${domid} ${why} and has been removed by force; the log says what holds it`,
      );
    });
  }

  /** Ends what is under way, as if its time were over, and waits for that; refuses everything afterwards. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#pending);
  }

  /** Runs a job that `close` waits for, and whose errors become those of the interface. */
  async #run<T>(job: () => Promise<T>): Promise<T> {
    if (this.#closing.signal.aborted) throw failure('aborted', 'nothing can be done any more');
    const running = job().catch((error: unknown) => {
      throw asApiError(error);
    });
    this.#pending.add(running);
    try {
      return await running;
    } finally {
      this.#pending.delete(running);
    }
  }

  async #writeCards(domid: number, cards: readonly CardPlan[]): Promise<void> {
    const { xenstore, ownDomid } = this.context;
    await xenstore.transaction(async (transaction) => {
      // A directory of a domain that has just gone must not be made anew.
      const isThere = (await transaction.read(guestPath(domid))) !== undefined;
      if (!isThere || !(await xenstore.isDomainIntroduced(domid))) throw gone(domid);
      if ((await transaction.read(libxlDomainPath(domid))) === undefined) {
        throw new ApiError('Failed', `domain ${domid} was not made by libxl: use its own toolstack`);
      }
      const present = await readCards(transaction, ownDomid, domid);
      if (present.length > 0) {
        throw new ApiError(
          'AlreadyAttached',
          `domain ${domid} has card ${present.map((name) => quoted(name)).join(', ')}: detach that first`,
        );
      }
      for (const { directories } of cards) {
        for (const { path, permissions, nodes } of directories) {
          if (permissions === undefined) await transaction.remove(path);
          else await transaction.makeDirectory(path, permissions);
          for (const [name, value] of Object.entries(nodes))
            await transaction.write(`${path}/${name}`, value);
        }
      }
    });
  }

  /** xl wants to read exactly state 2; that the backend has left 1 says as much, and is not missed. */
  async #awaitAnswers(domid: number, ids: readonly DeviceId[]): Promise<void> {
    const { xenstore, ownDomid } = this.context;
    const waitingFor = new Set(ids);
    const look = async (): Promise<boolean> => {
      for (const id of waitingFor) {
        const { state, online } = await this.#readBackend(xenstore, id);
        if (!(await xenstore.isDomainIntroduced(domid))) throw gone(domid);
        if (state === undefined || online !== WANTED) {
          throw new ApiError('Failed', `card ${id.devid} of domain ${domid} was taken away by someone else`);
        }
        if (state !== INITIALISING) waitingFor.delete(id);
      }
      return waitingFor.size === 0;
    };
    const end = await this.#wait([...ids.map((id) => backendPath(ownDomid, id)), '@releaseDomain'], look);
    if (end === 'done') return;
    const names = [...waitingFor].map(({ devid }) => devid).join(', ');
    throw failure(
      end,
      `nobody answered for card ${names} of domain ${domid} within ${limitText}, so no card was attached`,
    );
  }

  async #askToLeave(transaction: XenstoreTransaction, id: DeviceId): Promise<void> {
    const { ownDomid } = this.context;
    const path = backendPath(ownDomid, id);
    const backend = await transaction.read(`${libxlPath(id)}/backend`);
    const { state } = await this.#readBackend(transaction, id);
    const card = `card ${id.devid} of domain ${id.domid}`;
    if (backend !== undefined && backend !== path) {
      throw new ApiError(
        'NoSuchDevice',
        `${card} belongs to another backend: xl vsnd-detach ${id.domid} ${id.devid}`,
      );
    }
    if (backend === undefined && state === undefined) {
      const present = await readCards(transaction, ownDomid, id.domid);
      const names = present.length === 0 ? 'none' : present.map((name) => quoted(name)).join(', ');
      throw new ApiError('NoSuchDevice', `there is no ${card}; it has ${names}`);
    }
    if (state === undefined) return;
    await transaction.write(`${path}/online`, LEAVING);
    if (state !== CLOSED) await transaction.write(`${path}/state`, CLOSING);
  }

  /** Done as well when the card is gone, or has been made anew since. */
  #awaitLeave(id: DeviceId): Promise<WaitEnd> {
    const { xenstore, ownDomid } = this.context;
    return this.#wait([backendPath(ownDomid, id)], async () => {
      const { state, online } = await this.#readBackend(xenstore, id);
      return state === undefined || state === CLOSED || online !== LEAVING;
    });
  }

  #wait(paths: readonly string[], look: () => Promise<boolean>): Promise<WaitEnd> {
    const limit = { timeoutMs: BACKEND_TIMEOUT_MS, signal: this.#closing.signal };
    return watchUntil(this.context, paths, limit, look);
  }

  async #readBackend(
    reader: XenstoreReader,
    id: DeviceId,
  ): Promise<{ state: string | undefined; online: string | undefined }> {
    const path = backendPath(this.context.ownDomid, id);
    return { state: await reader.read(`${path}/state`), online: await reader.read(`${path}/online`) };
  }

  /** Undoes a half-done `attach`. A failure is only logged: why it had to is what its caller must hear. */
  async #takeBack(ids: readonly DeviceId[]): Promise<void> {
    try {
      await this.#remove(ids, WANTED);
    } catch (error) {
      const names = ids.map(({ domid, devid }) => `/libxl/${domid}/device/vsnd/${devid}`).join(', ');
      this.context.log.warning(TOPIC, `left behind, to be removed by hand: ${names}: ${messageOf(error)}`);
    }
  }

  /** Removes cards whose backend is gone or has `online` as we left it; others are another toolstack's by now. */
  async #remove(ids: readonly DeviceId[], onlineWanted: string): Promise<void> {
    await this.context.xenstore.transaction(async (transaction) => {
      for (const id of ids) {
        const { online } = await this.#readBackend(transaction, id);
        if (online !== undefined && online !== onlineWanted) continue;
        const { own, above } = cardPaths(id, this.context.ownDomid);
        for (const path of own) await transaction.remove(path);
        for (const path of above) {
          if ((await transaction.list(path))?.length === 0) await transaction.remove(path);
        }
      }
    });
  }
}

const limitText = `${BACKEND_TIMEOUT_MS / 1000} s`;

const gone = (domid: number): ApiError =>
  new ApiError('NoSuchGuest', `domain ${domid} does not run, or runs no more`);

const failure = (end: WaitEnd, message: string): ApiError =>
  end === 'timeout'
    ? new ApiError('Timeout', message)
    : new ApiError('Failed', `xen-audiod is stopping: ${message}`);

const asApiError = (error: unknown): ApiError => {
  if (error instanceof ApiError) return error;
  const message = messageOf(error);
  if (hasCode(error, 'xenstore-lost', 'timeout')) {
    return new ApiError('XenstoreDown', message, { cause: error });
  }
  return new ApiError('Failed', `${message}; EACCES would mean that this domain may not do what dom0 does`, {
    cause: error,
  });
};
