// SPDX-License-Identifier: LGPL-2.1-or-later
import type { LogLevel } from '../../../schemas/config.js';
import type { LogMessage, LogPort } from '../../device/ports.js';

const LEVELS: readonly LogLevel[] = ['error', 'warning', 'info', 'debug'];

/** Writes `level topic message`, one line per event; a message that its level leaves out is never made. */
export class StreamLog implements LogPort {
  #highest = 0;

  constructor(
    level: LogLevel,
    private readonly out: NodeJS.WritableStream = process.stderr,
  ) {
    this.setLevel(level);
  }

  setLevel(level: LogLevel): void {
    this.#highest = LEVELS.indexOf(level);
  }

  error(topic: string, message: LogMessage): void {
    this.#write('error', topic, message);
  }

  warning(topic: string, message: LogMessage): void {
    this.#write('warning', topic, message);
  }

  info(topic: string, message: LogMessage): void {
    this.#write('info', topic, message);
  }

  debug(topic: string, message: LogMessage): void {
    this.#write('debug', topic, message);
  }

  #write(level: LogLevel, topic: string, message: LogMessage): void {
    if (LEVELS.indexOf(level) > this.#highest) return;
    const text = typeof message === 'string' ? message : message();
    this.out.write(`${level} ${topic} ${text.replaceAll('\n', ' ')}\n`);
  }
}
