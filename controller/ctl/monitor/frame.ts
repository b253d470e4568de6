// SPDX-License-Identifier: LGPL-2.1-or-later
/** A picture of the monitor, as lines. Pure. */
import { displayName } from '../../util/text.js';
import type { Guest, Stream } from '../client/shapes.js';
import { latencyText, microphoneText, nameText, playbackText, volumeText } from '../show/guests.js';
import type { Style } from '../show/style.js';
import { displayWidth, padded, shortened } from '../show/text.js';

/** Cells of a terminal. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

interface Column {
  readonly title: string;
  /** Cells; the name takes what is left. */
  readonly width: number;
  readonly side?: 'left' | 'right';
  /** In a narrow terminal the highest goes first; 0 stays. */
  readonly expendable: number;
  readonly text: (guest: Guest, width: number) => string;
  readonly alert?: (guest: Guest) => boolean;
}

const BAR_CELLS = 12;
const NAME_CELLS_MIN = 8;
const NAME_CELLS_MAX = 32;
const GAP = 2;
/** Where a bar begins, dB below the loudest. */
const FLOOR_DB = 60;

const streamsOf = (guest: Guest, direction: Stream['direction']): readonly Stream[] =>
  guest.streams.filter((stream) => stream.direction === direction);

const levelOf = (guest: Guest, direction: Stream['direction']): number =>
  Math.max(0, ...streamsOf(guest, direction).map(({ level }) => level));

/** A level of 0 to 1 as a bar, by its decibels. */
export const bar = (level: number, width: number): string => {
  const loudness = level <= 0 ? 0 : 1 + (20 * Math.log10(Math.min(1, level))) / FLOOR_DB;
  const filled = Math.round(Math.max(0, loudness) * width);
  return '#'.repeat(filled) + '.'.repeat(width - filled);
};

const COLUMNS: readonly Column[] = [
  { title: 'GUEST', width: NAME_CELLS_MIN, expendable: 0, text: nameText },
  { title: 'STATE', width: 10, expendable: 6, text: ({ state }) => displayName(state) },
  {
    title: 'PLAYBACK',
    width: BAR_CELLS,
    expendable: 1,
    text: (guest, width) =>
      guest.playbackActive ? bar(levelOf(guest, 'playback'), width) : playbackText(guest),
  },
  { title: 'VOLUME', width: 6, side: 'right', expendable: 5, text: volumeText },
  {
    title: 'LATENCY',
    width: 8,
    side: 'right',
    expendable: 2,
    text: ({ latencyUsec }) => latencyText(latencyUsec),
  },
  {
    title: 'UNDERRUNS',
    width: 9,
    side: 'right',
    expendable: 3,
    text: (guest) => String(streamsOf(guest, 'playback').reduce((sum, { underruns }) => sum + underruns, 0)),
  },
  {
    title: 'MICROPHONE',
    width: BAR_CELLS,
    expendable: 4,
    text: (guest, width) =>
      guest.captureActive ? bar(levelOf(guest, 'capture'), width) : microphoneText(guest),
    alert: (guest) => guest.captureActive || microphoneText(guest) === 'asks',
  },
];

const widthOf = (columns: readonly Column[]): number =>
  columns.reduce((sum, { width }) => sum + width, GAP * (columns.length - 1));

/** The columns that fit, the name with what they leave. */
const fitting = (columns: number): readonly Column[] => {
  let left = COLUMNS;
  while (left.length > 1 && widthOf(left) > columns) {
    const first = Math.max(...left.map(({ expendable }) => expendable));
    left = left.filter(({ expendable }) => expendable !== first);
  }
  const spare = columns - widthOf(left) + NAME_CELLS_MIN;
  const name = Math.max(1, Math.min(NAME_CELLS_MAX, spare));
  return left.map((column) => (column.expendable === 0 ? { ...column, width: name } : column));
};

/**
 * The lines of a picture, none wider and not more than `size` has.
 * @param guests undefined while the daemon is not running
 */
export const frame = (guests: readonly Guest[] | undefined, size: Size, style: Style): string[] => {
  const foot = shortened('q or Ctrl-C: quit', size.columns);
  const room = Math.max(0, size.rows - 1);
  return [...body(guests, { ...size, rows: room }, style).slice(0, room), foot].slice(0, size.rows);
};

const body = (guests: readonly Guest[] | undefined, size: Size, style: Style): string[] => {
  if (guests === undefined) return [shortened('xen-audiod is not running; waiting for it', size.columns), ''];
  if (guests.length === 0) return [shortened('No guest has a sound card.', size.columns), ''];
  const columns = fitting(size.columns);
  const cells = (line: (column: Column) => string): string => columns.map(line).join(' '.repeat(GAP));
  const titles = cells(({ title, width, side }) => padded(shortened(title, width), width, side));
  // The title, and a line before the last for what does not fit.
  const rows = Math.max(0, size.rows - 2);
  const shown = guests.slice(0, rows);
  const lines = shown.map((guest) => cells((column) => cell(column, guest, style)));
  const more = guests.length - shown.length;
  return [style.title(titles), ...lines, more === 0 ? '' : shortened(`and ${more} more`, size.columns)];
};

const cell = ({ width, side, text, alert }: Column, guest: Guest, style: Style): string => {
  const short = shortened(text(guest, width), width);
  const full = padded(short, width, side);
  return alert?.(guest) === true && displayWidth(short) > 0 ? style.alert(full) : full;
};
