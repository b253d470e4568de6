// SPDX-License-Identifier: LGPL-2.1-or-later
import type { LogLevel } from '../../../schemas/config.js';
import { LevelLog } from './level-log.js';

/** Writes `level topic message`, one line per event. */
export class StreamLog extends LevelLog {
  constructor(
    level: LogLevel,
    private readonly out: NodeJS.WritableStream = process.stderr,
  ) {
    super(level);
  }

  protected write(level: LogLevel, topic: string, text: string): void {
    this.out.write(`${level} ${topic} ${text.replaceAll('\n', ' ')}\n`);
  }
}
