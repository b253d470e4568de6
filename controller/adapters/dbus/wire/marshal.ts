// SPDX-License-Identifier: LGPL-2.1-or-later
import {
  ALIGNMENT,
  isObjectPath,
  parseSignature,
  Variant,
  type BasicCode,
  type DBusValue,
  type Type,
} from './signature.js';

type NumberWriter =
  'writeUInt8' | 'writeInt16LE' | 'writeUInt16LE' | 'writeInt32LE' | 'writeUInt32LE' | 'writeDoubleLE';

const NUMBER_WRITERS: Readonly<Partial<Record<BasicCode, NumberWriter>>> = {
  ...{ y: 'writeUInt8', n: 'writeInt16LE', q: 'writeUInt16LE', i: 'writeInt32LE', u: 'writeUInt32LE' },
  ...{ h: 'writeUInt32LE', d: 'writeDoubleLE' },
};

/** Octets of values as a little-endian message has them. */
export class Writer {
  #buffer = Buffer.alloc(256);
  #length = 0;

  /** The octets written so far. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  align(octets: number): void {
    this.#length += this.#take((octets - (this.#length % octets)) % octets);
  }

  /** @throws Error when a value is not of its type, or their number is another */
  writeAll(signature: string, values: readonly DBusValue[]): void {
    const types = parseSignature(signature);
    if (types.length !== values.length)
      throw new Error(`${values.length} values for the signature "${signature}"`);
    types.forEach((type, index) => {
      this.write(type, values[index]);
    });
  }

  write(type: Type, value: DBusValue | undefined): void {
    this.align(ALIGNMENT[type.code]);
    if (type.code === 'a') this.#array(type.element, expectList(value));
    else if (type.code === '(' || type.code === '{') this.#members(type.members, expectList(value));
    else if (type.code === 'v') this.#variant(value);
    else if (typeof value === 'string') this.#text(type.code, value);
    else if (typeof value === 'bigint') this.#bigint(type.code, value);
    else if (typeof value === 'number') this.#number(type.code, value);
    else if (typeof value === 'boolean' && type.code === 'b') this.uint32(value ? 1 : 0);
    else throw wrongType(type.code, value);
  }

  uint32(value: number): void {
    const at = this.#grow(4);
    this.#buffer.writeUInt32LE(value, at);
  }

  byte(value: number): void {
    const at = this.#grow(1);
    this.#buffer.writeUInt8(value, at);
  }

  /** Overwrites an uint32 written before. */
  patch(at: number, value: number): void {
    this.#buffer.writeUInt32LE(value, at);
  }

  #variant(value: DBusValue | undefined): void {
    if (!(value instanceof Variant)) throw wrongType('v', value);
    this.#text8(value.signature);
    this.writeAll(value.signature, [value.value]);
  }

  #number(code: BasicCode, value: number): void {
    const write = NUMBER_WRITERS[code];
    if (write === undefined) throw wrongType(code, value);
    const at = this.#grow(ALIGNMENT[code]);
    this.#buffer[write](value, at);
  }

  #bigint(code: BasicCode, value: bigint): void {
    if (code !== 'x' && code !== 't') throw wrongType(code, value);
    const at = this.#grow(ALIGNMENT[code]);
    if (code === 't') this.#buffer.writeBigUInt64LE(value, at);
    else this.#buffer.writeBigInt64LE(value, at);
  }

  #text(code: BasicCode, value: string): void {
    if (code !== 's' && code !== 'o' && code !== 'g') throw wrongType(code, value);
    if (code === 'o' && !isObjectPath(value)) throw new Error(`${JSON.stringify(value)} is no object path`);
    if (code === 'g') {
      this.#text8(value);
      return;
    }
    // The bus cuts off whoever sends a NUL in a text, and names come from guests.
    const octets = Buffer.from(value.replaceAll('\0', '\ufffd'), 'utf8');
    this.uint32(octets.length);
    this.#octets(octets);
  }

  #text8(signature: string): void {
    this.byte(signature.length);
    this.#octets(Buffer.from(signature, 'latin1'));
  }

  #octets(octets: Buffer): void {
    const at = this.#grow(octets.length + 1);
    octets.copy(this.#buffer, at);
  }

  #array(element: Type, values: readonly DBusValue[]): void {
    const lengthAt = this.#length;
    this.uint32(0);
    this.align(ALIGNMENT[element.code]);
    const start = this.#length;
    for (const value of values) this.write(element, value);
    this.patch(lengthAt, this.#length - start);
  }

  #members(types: readonly Type[], values: readonly DBusValue[]): void {
    if (types.length !== values.length) throw new Error(`${values.length} members for ${types.length} types`);
    types.forEach((type, index) => {
      this.write(type, values[index]);
    });
  }

  /** Makes room, counts it as written, and returns where it begins. */
  #grow(octets: number): number {
    const at = this.#length;
    this.#length += this.#take(octets);
    return at;
  }

  #take(octets: number): number {
    if (this.#length + octets > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#buffer.length * 2, this.#length + octets));
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    return octets;
  }
}

const expectList = (value: DBusValue | undefined): readonly DBusValue[] => {
  if (typeof value !== 'object' || value instanceof Variant) throw wrongType('a list', value);
  return value;
};

const wrongType = (expected: string, value: DBusValue | undefined): Error =>
  new Error(`expected ${expected}, found ${typeof value}`);
