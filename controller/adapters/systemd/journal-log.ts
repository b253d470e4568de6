// SPDX-License-Identifier: LGPL-2.1-or-later
import { fstatSync } from 'node:fs';
import type { LogLevel } from '../../../schemas/config.js';
import type { LogSubject } from '../../device/ports.js';
import { LevelLog } from '../system/level-log.js';
import { UnixDatagram } from '../system/unix-datagram.js';

const JOURNAL_SOCKET = '/run/systemd/journal/socket';
const STDERR = 2;
/** journald takes datagrams of this size without further ado; a message is seldom longer than a line. */
const MESSAGE_MAX = 16_384;
/** As in syslog(3). */
const PRIORITIES: Readonly<Record<LogLevel, number>> = { error: 3, warning: 4, info: 6, debug: 7 };

/** Whether our standard error is the journal, as systemd.exec(5) says of JOURNAL_STREAM. */
export const stderrIsJournal = (env: NodeJS.ProcessEnv): boolean => {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(STDERR, { bigint: true });
  return stream === `${dev}:${ino}`;
};

/**
 * Writes to journald, with fields: `journalctl XEN_GUEST=work`, or `XEN_DEVICE=3/0`, `XEN_AUDIO_TOPIC=device`.
 * A message that journald does not take goes to standard error as a line.
 */
export class JournalLog extends LevelLog {
  readonly #journal: UnixDatagram;

  constructor(
    level: LogLevel,
    socket: string = JOURNAL_SOCKET,
    private readonly otherwise: NodeJS.WritableStream = process.stderr,
  ) {
    super(level);
    this.#journal = new UnixDatagram(socket);
  }

  protected write(level: LogLevel, topic: string, text: string, subject: LogSubject): void {
    const message = text.slice(0, MESSAGE_MAX);
    const entry = journalEntry({
      MESSAGE: message,
      PRIORITY: String(PRIORITIES[level]),
      SYSLOG_IDENTIFIER: 'xen-audiod',
      XEN_AUDIO_TOPIC: topic,
      XEN_GUEST: subject.guest,
      XEN_DEVICE: subject.device,
    });
    if (this.#journal.send(entry, false)) return;
    this.otherwise.write(`<${PRIORITIES[level]}>${topic} ${message.replaceAll('\n', ' ')}\n`);
  }
}

/** The journal's native protocol: each value with its length, so that no value can pretend to be a field. */
export const journalEntry = (fields: Readonly<Record<string, string | undefined>>): Buffer =>
  Buffer.concat(
    Object.entries(fields).flatMap(([name, value]) => {
      if (value === undefined) return [];
      const octets = Buffer.from(value, 'utf8');
      const length = Buffer.from(BigUint64Array.of(BigInt(octets.length)).buffer);
      return [Buffer.from(`${name}\n`), length, octets, Buffer.from('\n')];
    }),
  );
