// SPDX-License-Identifier: LGPL-2.1-or-later
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { inspect } from 'node:util';
import { isMap, isSeq, LineCounter, parseDocument, visit, type Document } from 'yaml';
import type { z } from 'zod';
import { isAbsent, messageOf, XenAudioError } from '../../util/errors.js';
import { quoted } from '../../util/text.js';

/** What a YAML text says, and where. */
export interface PlacedYaml<T> {
  readonly value: T;
  /** Line of the key or list item that a path leads to, from 1; of its closest ancestor, when it is not there. */
  readonly lineOf: (path: readonly PropertyKey[]) => number;
}

type Path = readonly PropertyKey[];

/** More than any settings need: a file beyond it is not one of ours. */
const FILE_BYTES_MAX = 1_048_576;

/**
 * Reads a file of settings; undefined when it is absent. One that is no regular file is not read: a FIFO would never end.
 * @throws XenAudioError `config`
 */
export const readTextFile = async (file: string): Promise<string | undefined> => {
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const status = await handle.stat();
      if (!status.isFile()) throw new Error('it is not a regular file');
      if (status.size > FILE_BYTES_MAX) throw new Error(`it has more than ${FILE_BYTES_MAX} octets`);
      return new TextDecoder('utf-8', { fatal: true }).decode(await handle.readFile());
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw new XenAudioError('config', `${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
};

/**
 * Checks a YAML text against a schema; an empty one is an empty group of settings. `file` is its name in messages, where
 * the items of a list are counted from 1.
 * @throws XenAudioError `config`, one line per fault, in the text's order: `file:line:col: key: expected …, found …`
 */
export const parseYaml = <S extends z.ZodType>(
  schema: S,
  file: string,
  text: string,
): PlacedYaml<z.output<S>> => {
  const lines = new LineCounter();
  // The core schema alone: with others, or known tags, there are values that JSON does not have.
  const document = parseDocument(text, {
    schema: 'core',
    resolveKnownTags: false,
    lineCounter: lines,
    prettyErrors: false,
    logLevel: 'error',
  });
  const fail = (faults: readonly (readonly [number, string])[]): never => {
    const messages = faults.map(([offset, message]) => {
      const { line, col } = lines.linePos(offset);
      return `${file}:${line}:${col}: ${message}`;
    });
    throw new XenAudioError('config', messages.join('\n'));
  };
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) {
    const { code, message, pos } = fault;
    return fail([
      [pos[0], `expected YAML, found: ${code === 'MULTIPLE_DOCS' ? 'a second document' : message}`],
    ]);
  }
  const input = toValue(document, fail);
  const parsed = schema.safeParse(input);
  if (parsed.success) {
    return { value: parsed.data, lineOf: (path) => lines.linePos(offsetOf(document, path)).line };
  }
  const faults = parsed.error.issues
    .flatMap(faultsOf)
    .map(({ path, expected }) => {
      const message = `${keyOf(path)}: expected ${expected}, found ${found(input, path)}`;
      return [offsetOf(document, path), message] as const;
    })
    .sort(([one], [other]) => one - other);
  return fail(faults);
};

/** Resolving aliases may fail, and with many of them a short text is made to be a huge value. */
const toValue = (
  document: Document,
  fail: (faults: readonly (readonly [number, string])[]) => never,
): unknown => {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    let offset = 0;
    visit(document, {
      Alias: (_key, alias) => {
        if (alias.resolve(document) !== undefined) return undefined;
        offset = rangeStart(alias) ?? 0;
        return visit.BREAK;
      },
    });
    return fail([[offset, `expected YAML, found: ${messageOf(error)}`]]);
  }
};

interface Fault {
  readonly path: Path;
  readonly expected: string;
}

const faultsOf = (issue: z.core.$ZodIssue): Fault[] => {
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...issue.path, key], expected: 'a known setting' }));
    case 'invalid_type':
      return [{ path: issue.path, expected: EXPECTED_TYPES[issue.expected] ?? issue.expected }];
    case 'invalid_value':
      return [{ path: issue.path, expected: `one of ${issue.values.map(String).join(', ')}` }];
    case 'too_small':
      return [{ path: issue.path, expected: `at least ${amount(issue.minimum, issue.origin)}` }];
    case 'too_big':
      return [{ path: issue.path, expected: `at most ${amount(issue.maximum, issue.origin)}` }];
    case 'invalid_union':
      return faultsOfUnion(issue);
    case 'custom':
    case 'invalid_element':
    case 'invalid_format':
    case 'invalid_key':
    case 'not_multiple_of':
      return [{ path: issue.path, expected: issue.message }];
  }
};

/** Where the value has the shape of one alternative, the faults are those inside it. */
const faultsOfUnion = (issue: z.core.$ZodIssueInvalidUnion): Fault[] => {
  const meant = issue.errors.find((inner) => inner.length > 0 && inner.every(({ path }) => path.length > 0));
  if (meant === undefined) return [{ path: issue.path, expected: issue.message }];
  return meant.flatMap((inner) => faultsOf({ ...inner, path: [...issue.path, ...inner.path] }));
};

const EXPECTED_TYPES: Readonly<Record<string, string>> = {
  object: 'a group of settings',
  array: 'a list',
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
};

const amount = (limit: number | bigint, origin: string): string => {
  if (origin === 'array') return `${limit} in the list`;
  return origin === 'string' ? `${limit} character${limit === 1 ? '' : 's'}` : String(limit);
};

const keyOf = (path: Path): string =>
  path.length === 0 ? 'the file' : path.map((key) => (typeof key === 'number' ? key + 1 : key)).join('.');

const found = (input: unknown, path: Path): string => {
  const value = path.reduce<unknown>(
    (node, key) =>
      typeof node === 'object' && node !== null && Object.hasOwn(node, key)
        ? (node as Record<PropertyKey, unknown>)[key]
        : undefined,
    input,
  );
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a group of settings';
  return typeof value === 'string' ? quoted(value) : inspect(value);
};

/** Offset of the key or list item that a path leads to; of its closest ancestor, when it is not there. */
const offsetOf = (document: Document, path: Path): number => {
  let offset = 0;
  let node: unknown = document.contents;
  for (const key of path) {
    if (isSeq(node)) {
      node = node.items[Number(key)];
      offset = rangeStart(node) ?? offset;
      continue;
    }
    const pair = isMap(node) ? node.items.find((item) => String(item.key) === String(key)) : undefined;
    if (pair === undefined) break;
    offset = rangeStart(pair.key) ?? offset;
    node = pair.value;
  }
  return offset;
};

const rangeStart = (node: unknown): number | undefined =>
  typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
    ? Number(node.range[0])
    : undefined;
