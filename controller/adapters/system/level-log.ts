// SPDX-License-Identifier: LGPL-2.1-or-later
import type { LogLevel } from '../../../schemas/config.js';
import type { LogMessage, LogPort, LogSubject } from '../../device/ports.js';

const LEVELS: readonly LogLevel[] = ['error', 'warning', 'info', 'debug'];

/** A log whose level can be changed; a message that its level leaves out is never made. */
export abstract class LevelLog implements LogPort {
  #highest = 0;

  constructor(level: LogLevel) {
    this.setLevel(level);
  }

  setLevel(level: LogLevel): void {
    this.#highest = LEVELS.indexOf(level);
  }

  error(topic: string, message: LogMessage, subject?: LogSubject): void {
    this.#log('error', topic, message, subject);
  }

  warning(topic: string, message: LogMessage, subject?: LogSubject): void {
    this.#log('warning', topic, message, subject);
  }

  info(topic: string, message: LogMessage, subject?: LogSubject): void {
    this.#log('info', topic, message, subject);
  }

  debug(topic: string, message: LogMessage, subject?: LogSubject): void {
    this.#log('debug', topic, message, subject);
  }

  /** Writes a message that its level lets through. */
  protected abstract write(level: LogLevel, topic: string, text: string, subject: LogSubject): void;

  #log(level: LogLevel, topic: string, message: LogMessage, subject: LogSubject = {}): void {
    if (LEVELS.indexOf(level) > this.#highest) return;
    this.write(level, topic, typeof message === 'string' ? message : message(), subject);
  }
}
