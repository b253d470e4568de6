// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFile } from 'node:fs/promises';
import { isMap, isSeq, LineCounter, parseDocument, type Document } from 'yaml';
import type { z } from 'zod';
import { DaemonConfig } from '../../../schemas/config.js';
import { messageOf, XenAudioError } from '../../util/errors.js';
import { quoted } from '../../util/text.js';

/** Where the configuration is looked for when no file is named. */
export const DEFAULT_CONFIG_PATH = '/etc/xen-audio/xen-audiod.yaml';

/**
 * Reads the configuration. Without a path, a default file that is absent gives the defaults.
 * @throws XenAudioError `config`, one line per fault: `path:line:col: key: expected …, found …`
 */
export const readConfigFile = async (path: string | undefined): Promise<DaemonConfig> => {
  const file = path ?? DEFAULT_CONFIG_PATH;
  try {
    return parseConfig(file, await readFile(file, 'utf8'));
  } catch (error) {
    if (path === undefined && isAbsent(error)) return DaemonConfig.parse({});
    if (error instanceof XenAudioError) throw error;
    throw new XenAudioError('config', `${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
};

/** Checks a configuration's text; `file` is its name in messages. Throws as `readConfigFile`. */
export const parseConfig = (file: string, text: string): DaemonConfig => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const [fault] = document.errors;
  if (fault !== undefined) {
    throw new XenAudioError('config', `${place(fault.pos[0])}: expected YAML, found: ${fault.message}`);
  }
  const parsed = DaemonConfig.safeParse(document.toJS() ?? {});
  if (parsed.success) return parsed.data;
  const messages = parsed.error.issues.flatMap((issue) =>
    faultsOf(issue).map(({ path, expected }) => {
      const key = path.length === 0 ? 'the file' : path.join('.');
      return `${place(offsetOf(document, path))}: ${key}: expected ${expected}, found ${found(document, path)}`;
    }),
  );
  throw new XenAudioError('config', messages.join('\n'));
};

interface Fault {
  readonly path: readonly PropertyKey[];
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
      return [{ path: issue.path, expected: `at least ${String(issue.minimum)}` }];
    case 'too_big':
      return [{ path: issue.path, expected: `at most ${String(issue.maximum)}` }];
    case 'custom':
    case 'invalid_element':
    case 'invalid_format':
    case 'invalid_key':
    case 'invalid_union':
    case 'not_multiple_of':
      return [{ path: issue.path, expected: issue.message }];
  }
};

const EXPECTED_TYPES: Readonly<Record<string, string>> = {
  object: 'a group of settings',
  array: 'a list',
  number: 'a number',
  int: 'a whole number',
  string: 'text',
};

const found = (document: Document, path: readonly PropertyKey[]): string => {
  const value: unknown = path.length === 0 ? document.toJS() : document.getIn(path);
  if (isMap(value) || (typeof value === 'object' && value !== null)) return 'a list or a group of settings';
  return typeof value === 'string' ? quoted(value) : String(value);
};

/** Offset of the key or list item that a path leads to; of its closest ancestor, when it is not there. */
const offsetOf = (document: Document, path: readonly PropertyKey[]): number => {
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

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';
