// SPDX-License-Identifier: LGPL-2.1-or-later
import {
  ALIGNMENT,
  NESTING_MAX,
  parseSignature,
  Variant,
  type BasicCode,
  type DBusValue,
  type Type,
} from './signature.js';

/** Reads values out of octets that somebody else wrote: whatever they are, it ends with a value or an Error. */
export class Reader {
  #position: number;

  constructor(
    private readonly octets: Buffer,
    private readonly littleEndian: boolean,
    position = 0,
  ) {
    this.#position = position;
  }

  /** One value of each type in the signature. @throws Error */
  readAll(signature: string, depth = 0): DBusValue[] {
    return parseSignature(signature).map((type) => this.read(type, depth));
  }

  read(type: Type, depth: number): DBusValue {
    if (depth > NESTING_MAX) throw new Error('a value is nested too deeply');
    this.#align(ALIGNMENT[type.code]);
    if (type.code === 'a') return this.#array(type.element, depth + 1);
    if (type.code === 'v') return this.#variant(depth + 1);
    if (type.code === '(' || type.code === '{')
      return type.members.map((member) => this.read(member, depth + 1));
    return this.#basic(type.code);
  }

  #array(element: Type, depth: number): DBusValue[] {
    const length = this.#uint32();
    this.#align(ALIGNMENT[element.code]);
    const end = this.#position + length;
    if (end > this.octets.length) throw new Error('an array is longer than its message');
    const values: DBusValue[] = [];
    while (this.#position < end) values.push(this.read(element, depth));
    if (this.#position !== end) throw new Error('an array ends within a value');
    return values;
  }

  #variant(depth: number): Variant {
    const signature = this.#text(this.#byte());
    const [value, ...more] = this.readAll(signature, depth);
    if (value === undefined || more.length > 0) throw new Error('a variant holds one value');
    return new Variant(signature, value);
  }

  #basic(code: BasicCode): DBusValue {
    switch (code) {
      case 'y':
        return this.#byte();
      case 'b':
        return this.#uint32() !== 0;
      case 'g':
        return this.#text(this.#byte());
      case 's':
      case 'o':
        return this.#text(this.#uint32());
      case 'n':
        return this.#take(2, 'readInt16LE', 'readInt16BE');
      case 'q':
        return this.#take(2, 'readUInt16LE', 'readUInt16BE');
      case 'i':
        return this.#take(4, 'readInt32LE', 'readInt32BE');
      case 'u':
      case 'h':
        return this.#uint32();
      case 'd':
        return this.#take(8, 'readDoubleLE', 'readDoubleBE');
      case 'x':
        return this.#take(8, 'readBigInt64LE', 'readBigInt64BE');
      case 't':
        return this.#take(8, 'readBigUInt64LE', 'readBigUInt64BE');
    }
  }

  #byte(): number {
    return this.#take(1, 'readUInt8', 'readUInt8');
  }

  #uint32(): number {
    return this.#take(4, 'readUInt32LE', 'readUInt32BE');
  }

  /** A text of that many octets and the NUL after it. */
  #text(length: number): string {
    const end = this.#position + length;
    if (end >= this.octets.length) throw new Error('a text is longer than its message');
    const text = this.octets.toString('utf8', this.#position, end);
    this.#position = end + 1;
    return text;
  }

  #take<M extends NumberReader>(octets: number, little: M, big: M): ReturnType<Buffer[M]> {
    const at = this.#position;
    if (at + octets > this.octets.length) throw new Error('a message ends within a value');
    this.#position += octets;
    return this.octets[this.littleEndian ? little : big](at) as ReturnType<Buffer[M]>;
  }

  #align(octets: number): void {
    this.#position += (octets - (this.#position % octets)) % octets;
  }
}

type NumberReader =
  | ('readUInt8' | 'readInt16LE' | 'readInt16BE' | 'readUInt16LE' | 'readUInt16BE')
  | ('readInt32LE' | 'readInt32BE' | 'readUInt32LE' | 'readUInt32BE' | 'readDoubleLE' | 'readDoubleBE')
  | ('readBigInt64LE' | 'readBigInt64BE' | 'readBigUInt64LE' | 'readBigUInt64BE');
