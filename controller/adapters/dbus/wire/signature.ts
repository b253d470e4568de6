// SPDX-License-Identifier: LGPL-2.1-or-later

/** A complete type of D-Bus. */
export type Type =
  | { readonly code: BasicCode | 'v' }
  | { readonly code: 'a'; readonly element: Type }
  | { readonly code: '(' | '{'; readonly members: readonly Type[] };

export type BasicCode = 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' | 'h';

/** A value with its type, D-Bus' `v`. */
export class Variant {
  constructor(
    readonly signature: string,
    readonly value: DBusValue,
  ) {}
}

/** x and t are bigint, other numbers number; a struct or an entry of a dictionary is the list of its members. */
export type DBusValue = boolean | number | bigint | string | Variant | readonly DBusValue[];

/** Deepest nesting of containers, as D-Bus' specification bounds it (32 arrays, 32 structs). */
export const NESTING_MAX = 64;

/** Octets to which values of a type are aligned. */
export const ALIGNMENT: Readonly<Record<Type['code'], 1 | 2 | 4 | 8>> = {
  ...{ y: 1, b: 4, n: 2, q: 2, i: 4, u: 4, x: 8, t: 8, d: 8, s: 4, o: 4, g: 1, h: 4, v: 1 },
  ...{ a: 4, '(': 8, '{': 8 },
};

const CLOSING = { '(': ')', '{': '}' } as const;
const BASIC_CODES = 'ybnqiuxtdsogh';

/**
 * The complete types that a signature lists.
 * @throws Error when it is none
 */
export const parseSignature = (signature: string): Type[] => {
  const parser = new SignatureParser(signature);
  const types: Type[] = [];
  while (!parser.atEnd) types.push(parser.next(0));
  return types;
};

class SignatureParser {
  #position = 0;

  constructor(private readonly text: string) {}

  get atEnd(): boolean {
    return this.#position >= this.text.length;
  }

  next(depth: number): Type {
    const code = this.text.charAt(this.#position);
    this.#position += 1;
    if (depth > NESTING_MAX) throw this.#error('nested too deeply');
    if (code === 'a') return { code, element: this.next(depth + 1) };
    if (code === '(' || code === '{') return { code, members: this.#members(code, depth) };
    if (code === 'v' || isBasic(code)) return { code };
    throw this.#error(`no type at ${this.#position - 1}`);
  }

  #members(code: '(' | '{', depth: number): Type[] {
    const members: Type[] = [];
    while (this.text.charAt(this.#position) !== CLOSING[code]) members.push(this.next(depth + 1));
    this.#position += 1;
    if (members.length === 0 || (code === '{' && members.length !== 2)) throw this.#error('members missing');
    return members;
  }

  #error(why: string): Error {
    return new Error(`signature ${JSON.stringify(this.text)}: ${why}`);
  }
}

const isBasic = (code: string): code is BasicCode => code !== '' && BASIC_CODES.includes(code);

const PATH = /^\/$|^(?:\/[A-Za-z0-9_]+)+$/;

/** Whether a text is an object's path. */
export const isObjectPath = (text: string): boolean => PATH.test(text);
