// SPDX-License-Identifier: LGPL-2.1-or-later

/** Values of a module's arguments by name. */
export type ModuleArguments = Readonly<Record<string, string>>;

/**
 * Writes arguments in the syntax of PulseAudio's `pa_modargs_new`: every value between double quotes, quotes and
 * backslashes escaped. Values may come from a guest; NUL, which would end the text, is dropped.
 */
export const formatModargs = (values: ModuleArguments): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}="${escapeValue(value)}"`)
    .join(' ');

const escapeValue = (value: string): string =>
  value.replaceAll('\0', '').replace(/["\\]/g, (character) => `\\${character}`);

const ARGUMENT = /\s*([A-Za-z0-9_.]+)="((?:[^"\\]|\\[^])*)"/y;

/** Reads back what `formatModargs` wrote; undefined for anything else (a module somebody loaded by hand). */
export const tryParseModargs = (text: string): ModuleArguments | undefined => {
  const values: Record<string, string> = {};
  const end = text.trimEnd().length;
  ARGUMENT.lastIndex = 0;
  while (ARGUMENT.lastIndex < end) {
    const match = ARGUMENT.exec(text);
    const [name, value] = [match?.[1], match?.[2]];
    if (name === undefined || value === undefined) return undefined;
    values[name] = value.replace(/\\([^])/g, '$1');
  }
  return values;
};
