// SPDX-License-Identifier: LGPL-2.1-or-later
import { parseArgs } from 'node:util';
import { messageOf } from '../util/errors.js';
import { readCommand, splitCommand, type Command } from './command.js';
import { helpText } from './help.js';
import { CommandError, Status } from './status.js';

/** What the command line asks for. */
export type Invocation =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly json: boolean;
      /** As `busAddress` takes it. */
      readonly bus: string;
      readonly timeoutMs: number;
    };

const TIMEOUT_DEFAULT_MS = 25_000;
const TIMEOUT_MAX_S = 3600;

const OPTIONS = {
  json: { type: 'boolean' },
  bus: { type: 'string' },
  timeout: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
  once: { type: 'boolean' },
  always: { type: 'boolean' },
  for: { type: 'string' },
  kernel: { type: 'boolean' },
  guest: { type: 'boolean' },
} as const;

/**
 * Reads the arguments behind the program's name.
 * @param version what `--version` prints
 * @throws CommandError `usage`
 */
export const parseCommandLine = (
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  version: () => string,
): Invocation => {
  const { values, positionals } = parse(args);
  const { json = false, bus, timeout, help = false, version: wantsVersion = false, ...options } = values;
  if (wantsVersion) return { kind: 'text', text: `xen-audioctl ${version()}\n` };
  if (help && positionals.length === 0) return { kind: 'text', text: helpText(undefined) };
  const { name, operands } = splitCommand(positionals);
  if (help) return { kind: 'text', text: helpText(name) };
  const fromEnvironment = env['XEN_AUDIO_BUS'] ?? '';
  return {
    kind: 'command',
    command: readCommand(name, operands, options),
    json,
    bus: bus ?? (fromEnvironment === '' ? 'system' : fromEnvironment),
    timeoutMs: timeout === undefined ? TIMEOUT_DEFAULT_MS : readTimeoutMs(timeout),
  };
};

const parse = (args: readonly string[]): ReturnType<typeof parseWords> => {
  try {
    return parseWords(args);
  } catch (error) {
    throw new CommandError(Status.usage, messageOf(error), { cause: error });
  }
};

const parseWords = (args: readonly string[]) =>
  parseArgs({ args: shieldNumbers(args), options: OPTIONS, allowPositionals: true });

/** `volume GUEST -5`: a number is no option. It is the last operand wherever there is one, and goes behind a `--`. */
const shieldNumbers = (args: readonly string[]): string[] => {
  const isNumber = (word: string): boolean => /^-\d/.test(word);
  if (args.includes('--') || !args.some(isNumber)) return [...args];
  return [...args.filter((word) => !isNumber(word)), '--', ...args.filter(isNumber)];
};

const readTimeoutMs = (word: string): number => {
  const seconds = /^\d{1,4}(?:\.\d{1,3})?$/.test(word) ? Number(word) : NaN;
  if (seconds > 0 && seconds <= TIMEOUT_MAX_S) return Math.ceil(seconds * 1000);
  throw new CommandError(Status.usage, `--timeout '${word}': say seconds, up to ${TIMEOUT_MAX_S}`);
};
