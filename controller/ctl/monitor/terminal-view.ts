// SPDX-License-Identifier: LGPL-2.1-or-later
import type { ReadStream, WriteStream } from 'node:tty';
import type { Guest } from '../client/shapes.js';
import type { Style } from '../show/style.js';
import { frame } from './frame.js';
import type { MonitorView } from './monitor.js';

/** The other screen, so that the user's own is there again afterwards; the cursor hidden. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const REST_OF_LINE = '\x1b[K';
const REST_OF_SCREEN = '\x1b[J';
const CTRL_C = '\x03';
const CTRL_D = '\x04';

/** A terminal's size when it does not tell. */
const SIZE_DEFAULT = { columns: 80, rows: 24 };

/** Draws pictures in a terminal, over one another. */
export class TerminalView implements MonitorView {
  readonly quit: Promise<void>;
  #wanted: () => void = () => undefined;
  readonly #resized = (): void => {
    this.#wanted();
  };

  /** @param input the keyboard; undefined when standard input is something else */
  constructor(
    private readonly output: WriteStream,
    private readonly input: ReadStream | undefined,
    private readonly style: Style,
    private readonly stopped: Promise<void>,
  ) {
    output.write(ENTER);
    output.on('resize', this.#resized);
    output.on('drain', this.#resized);
    this.quit = Promise.race([stopped, this.#key()]);
  }

  show(guests: readonly Guest[] | undefined): void {
    // A terminal that lags gets the picture of the time at which it has caught up.
    if (this.output.writableNeedDrain) return;
    const { columns, rows } = this.#size();
    const lines = frame(guests, { columns, rows }, this.style);
    const text = lines.map((line) => `${line}${REST_OF_LINE}`).join('\r\n');
    this.output.write(`${HOME}${text}${REST_OF_SCREEN}`);
  }

  onWanted(listener: () => void): void {
    this.#wanted = listener;
  }

  close(): void {
    this.output.off('resize', this.#resized);
    this.output.off('drain', this.#resized);
    this.input?.setRawMode(false);
    this.input?.pause();
    this.output.write(LEAVE);
  }

  /** Resolves at a key that means the end; keys are read one by one and not shown. */
  #key(): Promise<void> {
    const { input } = this;
    if (input === undefined) return this.stopped;
    input.setRawMode(true);
    return new Promise((resolve) => {
      input.setEncoding('utf8').on('data', (keys: string) => {
        if (['q', 'Q', CTRL_C, CTRL_D].some((key) => keys.includes(key))) resolve();
      });
      input.once('end', resolve);
      input.once('error', () => {
        resolve();
      });
    });
  }

  #size(): { columns: number; rows: number } {
    const { columns, rows } = this.output;
    return columns > 0 && rows > 0 ? { columns, rows } : SIZE_DEFAULT;
  }
}
