// SPDX-License-Identifier: LGPL-2.1-or-later
/** The command line of scripts/xen-lab, which holds the help text. Pure. */
import { GUESTS_MAX, type Time } from './machine-spec.js';

const TIMEOUT_DEFAULT_S = 3600;

/** What shapes a machine; two with the same time, guests and configurations share a memory image. */
export interface MachineOptions {
  time: Time;
  guests: number;
  /** More lines of xl configuration by number of guest. */
  guestConfigs: Map<number, string>;
  /** Boot, and neither use nor write a memory image. */
  cold: boolean;
  /** Its processors get what all else on the host leaves. */
  background: boolean;
}

export interface Options {
  machine: MachineOptions;
  /** Folder of the machine; undefined: the user's default, or for `run` one of its own. */
  dir: string | undefined;
  /** Limit of a command in the machine. */
  timeoutMs: number;
  json: boolean;
  all: boolean;
  results: string | undefined;
  /** Patterns for tar. */
  exclude: string[];
}

export type Verb = 'up' | 'exec' | 'guest' | 'run' | 'down' | 'status' | 'clean';

export interface Invocation {
  verb: Verb;
  options: Options;
  /** Number of the guest, for `guest`. */
  guest: number;
  /** Folder to copy, for `run`. */
  folder: string;
  /** The command to run in the machine. */
  command: string[];
}

const machineFlags = ['--time', '--guests', '--guest-config', '--cold', '--background'];
const flagsOf: Record<Verb, readonly string[]> = {
  up: [...machineFlags, '--dir'],
  exec: ['--dir', '--timeout'],
  guest: ['--dir', '--timeout'],
  run: [...machineFlags, '--dir', '--timeout', '--results', '--exclude'],
  down: ['--dir'],
  status: ['--dir', '--json'],
  clean: ['--all'],
};

/** Reads the arguments behind the program's name. @throws Error that says what is wrong and what would be right */
export function parseArguments(args: readonly string[]): Invocation {
  const [verb = '', ...rest] = args;
  if (!isVerb(verb)) {
    throw new Error(
      `'${verb}' is no command: say ${Object.keys(flagsOf).join(', ')}; see scripts/xen-lab --help`,
    );
  }
  const { options, operands } = readOptions(verb, rest);
  return { verb, options, guest: 0, folder: '', command: [], ...readOperands(verb, operands) };
}

function isVerb(word: string): word is Verb {
  return Object.hasOwn(flagsOf, word);
}

/** Options end at the first word that is none, so that the command may have its own. */
function readOptions(verb: Verb, words: readonly string[]): { options: Options; operands: string[] } {
  const left = [...words];
  const options: Options = {
    machine: { time: 'instructions', guests: 2, guestConfigs: new Map(), cold: false, background: false },
    dir: undefined,
    timeoutMs: TIMEOUT_DEFAULT_S * 1000,
    json: false,
    all: false,
    results: undefined,
    exclude: [],
  };
  while (left[0]?.startsWith('--') === true) {
    const flag = left.shift() ?? '';
    if (flag === '--') {
      break;
    }
    if (!flagsOf[verb].includes(flag)) {
      const known = flagsOf[verb].join(', ');
      throw new Error(
        `${verb} has no option ${flag}: it has ${known}; put '--' before a command that begins so`,
      );
    }
    setOption(options, flag, (what) => {
      const value = left.shift();
      if (value === undefined) {
        throw new Error(`${flag} needs ${what} behind it`);
      }
      return value;
    });
  }
  return { options, operands: left };
}

function setOption(options: Options, flag: string, value: (what: string) => string): void {
  switch (flag) {
    case '--time':
      options.machine.time = timeOf(value('real or instructions'));
      break;
    case '--guests':
      options.machine.guests = numberOf(flag, value('a number'), 0, GUESTS_MAX);
      break;
    case '--guest-config':
      addGuestConfig(options.machine.guestConfigs, value('the number of a guest'), value('lines for xl'));
      break;
    case '--cold':
      options.machine.cold = true;
      break;
    case '--background':
      options.machine.background = true;
      break;
    case '--dir':
      options.dir = value('a folder');
      break;
    case '--timeout':
      options.timeoutMs = numberOf(flag, value('seconds'), 1, 86_400) * 1000;
      break;
    case '--json':
      options.json = true;
      break;
    case '--all':
      options.all = true;
      break;
    case '--results':
      options.results = value('a folder');
      break;
    case '--exclude':
      options.exclude.push(value('a pattern'));
      break;
  }
}

function timeOf(text: string): Time {
  if (text !== 'real' && text !== 'instructions') {
    throw new Error(`--time ${text}: say real or instructions`);
  }
  return text;
}

function numberOf(what: string, text: string, least: number, most: number): number {
  if (!/^\d+$/.test(text) || Number(text) < least || Number(text) > most) {
    throw new Error(`${what} ${text}: expected a number from ${least} to ${most}`);
  }
  return Number(text);
}

function addGuestConfig(configs: Map<number, string>, guest: string, lines: string): void {
  const number = numberOf('--guest-config', guest, 1, GUESTS_MAX);
  const before = configs.get(number);
  configs.set(number, before === undefined ? lines : `${before}\n${lines}`);
}

function readOperands(verb: Verb, operands: string[]): Partial<Invocation> {
  const [first, ...rest] = operands;
  switch (verb) {
    case 'exec':
      return { command: wanted(operands, 'say what to run: scripts/xen-lab exec [options] CMD…') };
    case 'guest': {
      const usage = 'say which guest and what to run: scripts/xen-lab guest [options] N CMD…';
      return { guest: numberOf('guest', first ?? usage, 1, GUESTS_MAX), command: wanted(rest, usage) };
    }
    case 'run': {
      const command = wanted(
        rest,
        'say what to copy and what to run: scripts/xen-lab run [options] DIR CMD…',
      );
      return { folder: first ?? '', command };
    }
    case 'up':
    case 'down':
    case 'status':
    case 'clean':
      if (first !== undefined) {
        throw new Error(`${verb} takes nothing but options, not '${first}'`);
      }
      return {};
  }
}

function wanted(command: string[], usage: string): string[] {
  if (command.length === 0) {
    throw new Error(usage);
  }
  return command;
}
