// SPDX-License-Identifier: LGPL-2.1-or-later
/** What each request of the wire protocol does. */
import * as operations from './operations.js';
import type { Change } from './operations.js';
import { canonicaliseNode, domainPath } from './paths.js';
import { formatPermissions, isPrivileged, parsePermissions, type Caller } from './permissions.js';
import type { Store, StoreView } from './store.js';
import { Transaction } from './transactions.js';
import type { WatchEvent, WatchList } from './watches.js';
import {
  decodeStrings,
  encodeStrings,
  MessageType,
  PAYLOAD_MAX_BYTES,
  splitFirstString,
  StoreError,
  type Message,
} from './wire.js';

const TRANSACTIONS_MAX = 10;
const WATCHES_MAX = 128;

/** What the requests about domains need to know and do. */
export interface DomainDirectory {
  isIntroduced(domid: number): boolean;
  /** These throw a StoreError for a domain that does not exist. */
  introduce(domid: number): void;
  release(domid: number): void;
  setTarget(domid: number, targetDomid: number): void;
}

/** The state of one client's connection. */
export interface Session {
  readonly caller: Caller;
  /** These two are another's after a migration. */
  store: Store;
  domains: DomainDirectory;
  readonly watches: WatchList;
  readonly transactions: Map<number, Transaction>;
  lastTransactionId: number;
}

export interface Outcome {
  readonly payload: Buffer;
  /** Watches to fire after the answer, of whomever they are. */
  readonly changes?: readonly Change[];
  /** Events for this client alone, after the answer. */
  readonly events?: readonly WatchEvent[];
}

type Handler = (session: Session, message: Message) => Outcome;

const OK: Outcome = { payload: encodeStrings('OK') };

/**
 * Carries out one request.
 * @throws StoreError when it is refused
 */
export function handleRequest(session: Session, message: Message): Outcome {
  const handler = HANDLERS[message.type];
  if (handler === undefined) throw new StoreError('ENOSYS', `message type ${message.type} is not supported`);
  return handler(session, message);
}

const HANDLERS: Readonly<Record<number, Handler>> = {
  [MessageType.READ]: (session, message) => ({
    payload: operations.read(viewOf(session, message), session.caller, onlyPath(session, message)),
  }),
  [MessageType.DIRECTORY]: (session, message) => {
    const names = operations.directory(viewOf(session, message), session.caller, onlyPath(session, message));
    const payload = encodeStrings(...names);
    if (payload.length > PAYLOAD_MAX_BYTES)
      throw new StoreError('E2BIG', 'too many children; use DIRECTORY_PART');
    return { payload };
  },
  [MessageType.DIRECTORY_PART]: directoryPart,
  [MessageType.GET_PERMS]: (session, message) => {
    const view = viewOf(session, message);
    const permissions = operations.getPermissions(view, session.caller, onlyPath(session, message));
    return { payload: encodeStrings(...formatPermissions(permissions)) };
  },
  [MessageType.SET_PERMS]: (session, message) => {
    const [path, ...texts] = decodeStrings(message.payload);
    const permissions = parsePermissions(texts);
    const view = viewOf(session, message);
    return changed(
      session,
      message,
      operations.setPermissions(view, session.caller, absolute(session, path), permissions),
    );
  },
  [MessageType.WRITE]: (session, message) => {
    const [path, value] = splitFirstString(message.payload);
    const view = viewOf(session, message);
    return changed(
      session,
      message,
      operations.write(view, session.caller, absolute(session, path), Buffer.from(value)),
    );
  },
  [MessageType.MKDIR]: (session, message) => {
    const view = viewOf(session, message);
    return changed(session, message, operations.mkdir(view, session.caller, onlyPath(session, message)));
  },
  [MessageType.RM]: (session, message) => {
    const view = viewOf(session, message);
    return changed(session, message, operations.rm(view, session.caller, onlyPath(session, message)));
  },
  [MessageType.WATCH]: watch,
  [MessageType.UNWATCH]: (session, message) => {
    const [path, token] = stringsOf(message, 2);
    session.watches.remove(path ?? '', token ?? '', baseOf(session));
    return OK;
  },
  [MessageType.RESET_WATCHES]: (session) => {
    session.watches.clear();
    session.transactions.clear();
    return OK;
  },
  [MessageType.TRANSACTION_START]: startTransaction,
  [MessageType.TRANSACTION_END]: endTransaction,
  [MessageType.GET_DOMAIN_PATH]: (_session, message) => ({
    payload: encodeStrings(domainPath(domidOf(stringsOf(message, 1)[0]))),
  }),
  [MessageType.IS_DOMAIN_INTRODUCED]: (session, message) => {
    if (!isPrivileged(session.caller)) throw new StoreError('EACCES', 'only dom0 may ask this'); // since XSA-115
    const domid = domidOf(stringsOf(message, 1)[0]);
    return { payload: encodeStrings(session.domains.isIntroduced(domid) ? 'T' : 'F') };
  },
  [MessageType.INTRODUCE]: toolstackOnly((session, message) => {
    session.domains.introduce(domidOf(stringsOf(message, 3)[0]));
  }),
  [MessageType.RELEASE]: toolstackOnly((session, message) => {
    session.domains.release(domidOf(stringsOf(message, 1)[0]));
  }),
  [MessageType.RESUME]: toolstackOnly((_session, message) => domidOf(stringsOf(message, 1)[0])),
  [MessageType.SET_TARGET]: toolstackOnly((session, message) => {
    const [domid, target] = stringsOf(message, 2);
    session.domains.setTarget(domidOf(domid), domidOf(target));
  }),
};

function directoryPart(session: Session, message: Message): Outcome {
  const [path, offsetText] = stringsOf(message, 2);
  const view = viewOf(session, message);
  const node = absolute(session, path);
  const list = encodeStrings(...operations.directory(view, session.caller, node));
  const offset = decimal(offsetText, 0xffffffff);
  const generation = encodeStrings(String(view.get(node)?.generation ?? 0));
  const room = PAYLOAD_MAX_BYTES - generation.length - 1;
  const rest = list.subarray(offset);
  if (rest.length <= room) return { payload: Buffer.concat([generation, rest, encodeStrings('')]) };
  const whole = rest.lastIndexOf(0, room - 1) + 1;
  return { payload: Buffer.concat([generation, rest.subarray(0, whole)]) };
}

function watch(session: Session, message: Message): Outcome {
  const [path, token] = stringsOf(message, 2);
  if (!isPrivileged(session.caller) && session.watches.size >= WATCHES_MAX) {
    throw new StoreError('ENOSPC', `more than ${WATCHES_MAX} watches`);
  }
  return { ...OK, events: [session.watches.add(path ?? '', token ?? '', baseOf(session))] };
}

function startTransaction(session: Session, message: Message): Outcome {
  if (message.transactionId !== 0) throw new StoreError('EBUSY', 'transactions do not nest');
  if (!isPrivileged(session.caller) && session.transactions.size >= TRANSACTIONS_MAX) {
    throw new StoreError('ENOSPC', `more than ${TRANSACTIONS_MAX} open transactions`);
  }
  session.lastTransactionId = (session.lastTransactionId + 1) % 0x100000000 || 1;
  session.transactions.set(session.lastTransactionId, new Transaction(session.store));
  return { payload: encodeStrings(String(session.lastTransactionId)) };
}

function endTransaction(session: Session, message: Message): Outcome {
  const [verdict] = stringsOf(message, 1);
  if (verdict !== 'T' && verdict !== 'F') throw new StoreError('EINVAL', 'a transaction ends with T or F');
  const transaction = session.transactions.get(message.transactionId);
  if (transaction === undefined) throw new StoreError('ENOENT', `no transaction ${message.transactionId}`);
  session.transactions.delete(message.transactionId);
  if (verdict === 'F') return OK;
  if (!transaction.commit(session.store))
    throw new StoreError('EAGAIN', 'another client changed what was used');
  return { ...OK, changes: transaction.changes };
}

/** Changes outside a transaction fire watches now, those inside when it is committed. */
function changed(session: Session, message: Message, changes: Change[]): Outcome {
  const transaction = session.transactions.get(message.transactionId);
  if (transaction === undefined) return { ...OK, changes };
  transaction.changes.push(...changes);
  return OK;
}

function viewOf(session: Session, message: Message): StoreView {
  if (message.transactionId === 0) return session.store;
  const transaction = session.transactions.get(message.transactionId);
  if (transaction === undefined) throw new StoreError('ENOENT', `no transaction ${message.transactionId}`);
  if (transaction.isStale)
    throw new StoreError('EAGAIN', 'the domain was resumed since the transaction started');
  return transaction;
}

function toolstackOnly(act: (session: Session, message: Message) => unknown): Handler {
  return (session, message) => {
    if (!isPrivileged(session.caller)) throw new StoreError('EACCES', 'only dom0 may do this');
    act(session, message);
    return OK;
  };
}

const baseOf = (session: Session): string => domainPath(session.caller.domid);

const absolute = (session: Session, path: string | undefined): string =>
  canonicaliseNode(path ?? '', baseOf(session));

const onlyPath = (session: Session, message: Message): string => absolute(session, stringsOf(message, 1)[0]);

function stringsOf(message: Message, count: number): string[] {
  const strings = decodeStrings(message.payload);
  if (strings.length < count)
    throw new StoreError('EINVAL', `${count} strings expected, ${strings.length} given`);
  return strings;
}

const domidOf = (text: string | undefined): number => decimal(text, 0xffff);

function decimal(text: string | undefined, max: number): number {
  const value = Number(text);
  if (text === undefined || !/^\d+$/.test(text) || value > max) {
    throw new StoreError('EINVAL', `not a number up to ${max}: '${text ?? ''}'`);
  }
  return value;
}
