// SPDX-License-Identifier: LGPL-2.1-or-later
import { Writer } from './marshal.js';
import { Variant, type DBusValue } from './signature.js';
import { Reader } from './unmarshal.js';

/** Octets of the part of a header whose size is fixed, up to the length of its fields. */
export const FIXED_HEADER_OCTETS = 16;

export const FLAG_NO_REPLY_EXPECTED = 1;
export const FLAG_ALLOW_INTERACTIVE_AUTHORIZATION = 4;

const TYPES = ['call', 'return', 'error', 'signal'] as const;
export type MessageType = (typeof TYPES)[number];

/** Header fields by their code on the wire. */
const FIELDS = [
  [1, 'path', 'o'],
  [2, 'interface', 's'],
  [3, 'member', 's'],
  [4, 'errorName', 's'],
  [5, 'replySerial', 'u'],
  [6, 'destination', 's'],
  [7, 'sender', 's'],
  [8, 'signature', 'g'],
] as const;

/** What a message says of itself. */
export interface MessageHeader {
  readonly type: MessageType;
  readonly flags?: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly sender?: string;
  readonly signature?: string;
}

/** A message to send; `body` as `signature` says. */
export interface OutgoingMessage extends MessageHeader {
  readonly body?: readonly DBusValue[];
}

/** A message received. Its body is read only when asked for, when its signature has been found to be the expected one. */
export interface IncomingMessage extends MessageHeader {
  readonly flags: number;
  readonly serial: number;
  readonly signature: string;
  /** False for a message that was too long to be kept. */
  readonly complete: boolean;
  /** @throws Error when the octets are not what the signature says */
  body(): DBusValue[];
}

/** The octets of a message. @throws Error when a value is not of its type */
export const encodeMessage = (message: OutgoingMessage, serial: number): Buffer => {
  const body = new Writer();
  body.writeAll(message.signature ?? '', message.body ?? []);
  const writer = new Writer();
  writer.byte('l'.charCodeAt(0));
  writer.byte(TYPES.indexOf(message.type) + 1);
  writer.byte(message.flags ?? 0);
  writer.byte(1);
  writer.uint32(body.length);
  writer.uint32(serial);
  const fields = FIELDS.flatMap(([code, name, type]) => {
    const value = message[name];
    return value === undefined || value === '' ? [] : [[code, new Variant(type, value)]];
  });
  writer.writeAll('a(yv)', [fields]);
  writer.align(8);
  return Buffer.concat([writer.bytes(), body.bytes()]);
};

/** Reads the octets of a whole message, or of its header when the rest was dropped. @throws Error */
export const decodeMessage = ({ octets, complete }: MessageOctets): IncomingMessage => {
  const littleEndian = isLittleEndian(octets);
  const type = TYPES[octets.readUInt8(1) - 1];
  if (type === undefined) throw new Error(`no message type has the number ${octets.readUInt8(1)}`);
  const [entries] = new Reader(octets, littleEndian, FIXED_HEADER_OCTETS - 4).readAll('a(yv)');
  const fields = fieldsOf(entries as readonly (readonly [number, Variant])[]);
  const body = octets.subarray(headerOctets(octets));
  const signature = fields.signature ?? '';
  return {
    ...fields,
    ...{ type, signature, complete, flags: octets.readUInt8(2) },
    serial: littleEndian ? octets.readUInt32LE(8) : octets.readUInt32BE(8),
    body: () => new Reader(body, littleEndian).readAll(signature),
  };
};

const fieldsOf = (entries: readonly (readonly [number, Variant])[]): Omit<MessageHeader, 'type'> =>
  Object.fromEntries(
    entries.flatMap(([code, variant]) => {
      const field = FIELDS.find((known) => known[0] === code && known[2] === variant.signature);
      return field === undefined ? [] : [[field[1], variant.value]];
    }),
  );

/** The octets of one message. */
export interface MessageOctets {
  readonly octets: Buffer;
  /** False: only the header is there. */
  readonly complete: boolean;
}

/** Longest message that is kept, octets; nothing that is called here needs as much. */
export const MESSAGE_OCTETS_MAX = 65_536;
const HEADER_OCTETS_MAX = 16_384;

/**
 * Cuts the stream of a connection into messages. Anyone on the bus may send us 128 MiB: of a message that is too long only
 * the header is kept, for an answer, and nothing when that is too long as well.
 */
export class MessageSplitter {
  #rest: Buffer = Buffer.alloc(0);
  #skip = 0;

  /** The messages that a further piece completes. @throws Error when it is not D-Bus: the connection is of no use any more */
  push(piece: Buffer): MessageOctets[] {
    const messages: MessageOctets[] = [];
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    for (;;) {
      this.#dropSkipped();
      if (this.#skip > 0 || this.#rest.length < FIXED_HEADER_OCTETS) return messages;
      const header = headerOctets(this.#rest);
      const whole = header + bodyOctets(this.#rest);
      const complete = whole <= MESSAGE_OCTETS_MAX;
      const wanted = complete ? whole : header <= HEADER_OCTETS_MAX ? header : 0;
      if (this.#rest.length < wanted) return messages;
      if (wanted > 0) messages.push({ octets: Buffer.from(this.#rest.subarray(0, wanted)), complete });
      this.#skip = whole;
    }
  }

  #dropSkipped(): void {
    const dropped = Math.min(this.#skip, this.#rest.length);
    this.#rest = this.#rest.subarray(dropped);
    this.#skip -= dropped;
  }
}

const isLittleEndian = (header: Buffer): boolean => {
  const mark = String.fromCharCode(header.readUInt8(0));
  if ((mark !== 'l' && mark !== 'B') || header.readUInt8(3) !== 1) throw new Error('this is not D-Bus');
  return mark === 'l';
};

const headerOctets = (header: Buffer): number => {
  const fields = isLittleEndian(header) ? header.readUInt32LE(12) : header.readUInt32BE(12);
  return FIXED_HEADER_OCTETS + Math.ceil(fields / 8) * 8;
};

const bodyOctets = (header: Buffer): number =>
  isLittleEndian(header) ? header.readUInt32LE(4) : header.readUInt32BE(4);
