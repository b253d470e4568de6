// SPDX-License-Identifier: LGPL-2.1-or-later
/** What can be said to xen-audioctl, and how it is read. Pure. */
import type { CardLayout, StreamDirection } from '../api/audio-api.js';
import { CommandError, Status } from './status.js';

/** Leave to record. */
export type Leave = 'once' | 'always' | { readonly seconds: number };

/** A volume, or a change of it, in percent. */
export interface VolumeChange {
  readonly relative: boolean;
  readonly percent: number;
}

export type Command =
  | { readonly name: 'list' | 'reload' }
  | { readonly name: 'monitor' }
  | { readonly name: 'show' | 'deny-mic' | 'policy explain'; readonly guest: string }
  | { readonly name: 'prepare-suspend' | 'finish-suspend'; readonly guest: string }
  | {
      readonly name: 'save' | 'migrate';
      readonly guest: string;
      /** A file; the host to go to. */
      readonly operand: string;
      /** What is for xl. */
      readonly options: readonly string[];
    }
  | { readonly name: 'restore'; readonly file: string; readonly options: readonly string[] }
  | { readonly name: 'volume'; readonly guest: string; readonly change: VolumeChange | undefined }
  | { readonly name: 'mute'; readonly guest: string; readonly mute: 'on' | 'off' | 'toggle' }
  | { readonly name: 'allow-mic'; readonly guest: string; readonly leave: Leave }
  | { readonly name: 'attach'; readonly guest: string; readonly layout: CardLayout }
  | { readonly name: 'detach'; readonly guest: string; readonly devid: number | undefined }
  | {
      readonly name: 'route';
      readonly guest: string;
      readonly direction: StreamDirection;
      readonly device: string;
    }
  | { readonly name: 'policy check'; readonly file: string }
  | { readonly name: 'doctor'; readonly role: 'dom0' | 'guest' };

export type CommandName = Command['name'];

/** Options of single commands. */
export interface CommandOptions {
  readonly once?: boolean | undefined;
  readonly always?: boolean | undefined;
  readonly for?: string | undefined;
  readonly kernel?: boolean | undefined;
  readonly guest?: boolean | undefined;
}

/** Options that take none of these, and their number of operands, at least and at most. */
export interface Grammar {
  readonly options: readonly (keyof CommandOptions)[];
  readonly operands: readonly [number, number];
}

const GUEST_ONLY: Grammar = { options: [], operands: [1, 1] };
const NOTHING: Grammar = { options: [], operands: [0, 0] };

export const GRAMMAR: Readonly<Record<CommandName, Grammar>> = {
  list: NOTHING,
  show: GUEST_ONLY,
  volume: { options: [], operands: [1, 2] },
  mute: { options: [], operands: [1, 2] },
  'allow-mic': { options: ['once', 'for', 'always'], operands: [1, 1] },
  'deny-mic': GUEST_ONLY,
  attach: { options: ['kernel'], operands: [1, 1] },
  detach: { options: [], operands: [1, 2] },
  route: { options: [], operands: [2, 3] },
  'policy check': { options: [], operands: [1, 1] },
  doctor: { options: ['guest'], operands: [0, 0] },
  'policy explain': GUEST_ONLY,
  reload: NOTHING,
  'prepare-suspend': GUEST_ONLY,
  'finish-suspend': GUEST_ONLY,
  save: { options: [], operands: [2, Infinity] },
  restore: { options: [], operands: [1, Infinity] },
  migrate: { options: [], operands: [2, Infinity] },
  monitor: NOTHING,
};

/** Separates the command's name from its operands: `policy check` has two words. */
export const splitCommand = (words: readonly string[]): { name: CommandName; operands: string[] } => {
  const [first = '', second = ''] = words;
  const twoWords = `${first} ${second}`;
  if (isCommand(twoWords)) return { name: twoWords, operands: words.slice(2) };
  if (isCommand(first)) return { name: first, operands: words.slice(1) };
  if (first === 'policy') throw usage(`'policy' wants to know what: say 'policy check' or 'policy explain'`);
  throw usage(first === '' ? 'no command' : `'${first}' is no command`);
};

/** @throws CommandError `usage`, which says what would be right */
export const readCommand = (
  name: CommandName,
  operands: readonly string[],
  options: CommandOptions,
): Command => {
  checkGrammar(name, operands, options);
  const [guest = '', second, third] = operands;
  switch (name) {
    case 'list':
    case 'reload':
    case 'monitor':
      return { name };
    case 'show':
    case 'deny-mic':
    case 'policy explain':
    case 'prepare-suspend':
    case 'finish-suspend':
      return { name, guest };
    case 'save':
    case 'migrate':
      return { name, guest, operand: second ?? '', options: operands.slice(2) };
    case 'restore':
      return { name, file: guest, options: operands.slice(1) };
    case 'volume':
      return { name, guest, change: second === undefined ? undefined : readVolume(second) };
    case 'mute':
      return { name, guest, mute: readChoice('mute', second ?? 'on', ['on', 'off', 'toggle']) };
    case 'allow-mic':
      return { name, guest, leave: readLeave(options) };
    case 'attach':
      return { name, guest, layout: options.kernel === true ? 'kernel' : 'modules' };
    case 'detach':
      return { name, guest, devid: second === undefined ? undefined : readDevid(second) };
    case 'route':
      return {
        name,
        guest,
        direction: readChoice('direction', second ?? '', ['playback', 'capture']),
        device: third ?? '',
      };
    case 'doctor':
      return { name, role: options.guest === true ? 'guest' : 'dom0' };
    case 'policy check':
      return { name, file: guest };
  }
};

const isCommand = (text: string): text is CommandName => Object.hasOwn(GRAMMAR, text);

const usage = (message: string): CommandError => new CommandError(Status.usage, message);

const checkGrammar = (name: CommandName, operands: readonly string[], options: CommandOptions): void => {
  const grammar = GRAMMAR[name];
  for (const [option, value] of Object.entries(options)) {
    if (value !== undefined && !grammar.options.includes(option as keyof CommandOptions)) {
      throw usage(`'${name}' has no option --${option}`);
    }
  }
  const [least, most] = grammar.operands;
  if (operands.length < least) throw usage(`'${name}' needs more than that`);
  if (operands.length > most) throw usage(`'${name}' does not take '${String(operands[most])}'`);
  if (operands.slice(0, least).includes('')) throw usage(`'${name}' got an empty argument`);
};

const readChoice = <T extends string>(what: string, word: string, choices: readonly T[]): T => {
  const choice = choices.find((one) => one === word);
  if (choice === undefined) throw usage(`${what} '${word}': say ${choices.join(', ')}`);
  return choice;
};

const readVolume = (word: string): VolumeChange => {
  const match = /^([+-]?)(\d{1,3}(?:\.\d{1,2})?)%?$/.exec(word);
  if (match === null)
    throw usage(`volume '${word}': say a percentage such as 80, or a change such as +5 or -5`);
  const [, sign, digits] = match;
  return { relative: sign !== '', percent: Number(digits) * (sign === '-' ? -1 : 1) };
};

const DEVID_MAX = 0xffff;

const readDevid = (word: string): number => {
  if (/^\d{1,5}$/.test(word) && Number(word) <= DEVID_MAX) return Number(word);
  throw usage(`card '${word}': say its number, the CARD of vsnd-CARD/PCM/STREAM in 'xen-audioctl show'`);
};

const readLeave = ({ once, always, for: duration }: CommandOptions): Leave => {
  if ([once, always, duration].filter((given) => given !== undefined).length > 1) {
    throw usage('say one of --once, --for DURATION and --always');
  }
  if (always === true) return 'always';
  return duration === undefined ? 'once' : { seconds: readDuration(duration) };
};

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400 };
/** What AllowCaptureFor takes. */
const LEAVE_SECONDS_MAX = 86_400;

const readDuration = (word: string): number => {
  const [, digits, unit = ''] = /^(\d{1,5})([smhd]?)$/.exec(word) ?? [];
  const seconds = Number(digits) * (SECONDS[unit] ?? NaN);
  if (seconds >= 1 && seconds <= LEAVE_SECONDS_MAX) return seconds;
  throw usage(`--for '${word}': say seconds, or a time such as 15m or 2h, one day at most`);
};
