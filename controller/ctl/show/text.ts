// SPDX-License-Identifier: LGPL-2.1-or-later
import { displayName } from '../../util/text.js';

/** Longest line of the daemon's that is shown. */
const LINE_LENGTH_MAX = 1000;

/** A line that others wrote, fit for a terminal. */
export const printable = (line: string): string => displayName(line, LINE_LENGTH_MAX);

/** Characters that fill two cells: East Asian wide and fullwidth ones, and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const COMBINING = /\p{M}/u;

const cellsOf = (character: string): number => (COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/** Cells that a text fills in a terminal. */
export const displayWidth = (text: string): number =>
  Array.from(text).reduce((width, character) => width + cellsOf(character), 0);

/** The text, shortened to `width` cells when it is longer; a tilde stands for what is missing. */
export const shortened = (text: string, width: number): string => {
  if (displayWidth(text) <= width) return text;
  let result = '';
  let used = 0;
  for (const character of text) {
    used += cellsOf(character);
    if (used > width - 1) break;
    result += character;
  }
  return width < 1 ? '' : `${result}~`;
};

/** The text with blanks, up to `width` cells. */
export const padded = (text: string, width: number, side: 'left' | 'right' = 'left'): string => {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return side === 'left' ? text + blanks : blanks + text;
};

/** A column of a table. */
export interface Column {
  readonly title: string;
  /** Numbers stand at the right. */
  readonly side?: 'left' | 'right';
}

/** Lines of a table, its titles the first. */
export const table = (columns: readonly Column[], rows: readonly (readonly string[])[]): string[] => {
  const widths = columns.map(({ title }, index) =>
    Math.max(displayWidth(title), ...rows.map((row) => displayWidth(row[index] ?? ''))),
  );
  return [columns.map(({ title }) => title), ...rows].map((row) =>
    columns
      .map(({ side }, index) => padded(row[index] ?? '', widths[index] ?? 0, side))
      .join('  ')
      .trimEnd(),
  );
};
