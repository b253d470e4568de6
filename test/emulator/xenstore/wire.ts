// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * The xenstore wire protocol (xen/io/xs_wire.h): messages to octets and back. Pure; server and client share it.
 */

/** Message types, with the numbers of xs_wire.h. */
export const MessageType = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
} as const;

/** The errors that may travel in an ERROR message. */
export const STORE_ERRORS = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;
export type StoreErrorCode = (typeof STORE_ERRORS)[number];

/** A request that xenstore refuses; `code` is what the client gets to see. */
export class StoreError extends Error {
  constructor(
    readonly code: StoreErrorCode,
    what: string,
  ) {
    super(`${code}: ${what}`);
    this.name = 'StoreError';
  }
}

export const HEADER_BYTES = 16;
/** The most octets of payload in either direction (XENSTORE_PAYLOAD_MAX). */
export const PAYLOAD_MAX_BYTES = 4096;

export interface Message {
  readonly type: number;
  readonly requestId: number;
  readonly transactionId: number;
  readonly payload: Buffer;
}

/** The header's integers are in the machine's order; every machine with Xen's tools is little-endian. */
export function encodeMessage(message: Message): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(message.type, 0);
  header.writeUInt32LE(message.requestId, 4);
  header.writeUInt32LE(message.transactionId, 8);
  header.writeUInt32LE(message.payload.length, 12);
  return Buffer.concat([header, message.payload]);
}

/** Puts messages together from a stream of octets. */
export class MessageDecoder {
  #pending: Buffer = Buffer.alloc(0);

  /**
   * Takes what has arrived and returns the messages that are now complete.
   * @throws StoreError E2BIG when a header announces too long a payload: the connection cannot go on.
   */
  push(octets: Buffer): Message[] {
    this.#pending = this.#pending.length === 0 ? octets : Buffer.concat([this.#pending, octets]);
    const messages: Message[] = [];
    for (let message = this.#take(); message !== undefined; message = this.#take()) messages.push(message);
    return messages;
  }

  #take(): Message | undefined {
    const octets = this.#pending;
    if (octets.length < HEADER_BYTES) return undefined;
    const length = octets.readUInt32LE(12);
    if (length > PAYLOAD_MAX_BYTES) {
      throw new StoreError('E2BIG', `a payload of ${length} octets; the limit is ${PAYLOAD_MAX_BYTES}`);
    }
    const end = HEADER_BYTES + length;
    if (octets.length < end) return undefined;
    this.#pending = octets.subarray(end);
    return {
      type: octets.readUInt32LE(0),
      requestId: octets.readUInt32LE(4),
      transactionId: octets.readUInt32LE(8),
      payload: octets.subarray(HEADER_BYTES, end),
    };
  }
}

/** Strings, each followed by a NUL. */
export function encodeStrings(...strings: string[]): Buffer {
  return Buffer.from(strings.map((string) => `${string}\0`).join(''), 'latin1');
}

/**
 * Reads strings that are each followed by a NUL.
 * @throws StoreError EINVAL when the last one is not.
 */
export function decodeStrings(payload: Buffer): string[] {
  if (payload.length === 0) return [];
  if (payload[payload.length - 1] !== 0) throw new StoreError('EINVAL', 'a string without its NUL');
  return payload.toString('latin1', 0, payload.length - 1).split('\0');
}

/**
 * Splits `<string>|<octets>` as WRITE has it.
 * @throws StoreError EINVAL when there is no NUL.
 */
export function splitFirstString(payload: Buffer): [string, Buffer] {
  const end = payload.indexOf(0);
  if (end < 0) throw new StoreError('EINVAL', 'a path without its NUL');
  return [payload.toString('latin1', 0, end), payload.subarray(end + 1)];
}
