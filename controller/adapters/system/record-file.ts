// SPDX-License-Identifier: LGPL-2.1-or-later
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { GuestRecords, type GuestRecord } from '../../../schemas/guest-record.js';
import type { ClockPort, LogPort } from '../../device/ports.js';
import { isAbsent, messageOf } from '../../util/errors.js';
import { SerialQueue } from '../../util/queue.js';

const TOPIC = 'records';
/** A slider in motion is many changes. */
const WRITE_DELAY_MS = 500;
const RETRY_MS = 30_000;
/** More VMs than a host ever has; the ones longest unchanged go. */
const RECORDS_MAX = 4096;

/** What is kept of guests, in a file: read once, written a moment after a change and at the end. */
export class RecordFile {
  readonly #records = new Map<string, GuestRecord>();
  readonly #queue = new SerialQueue();
  #cancelTimer: (() => void) | undefined;
  #complained = false;
  #stopped = false;

  constructor(
    private readonly path: string,
    private readonly clock: ClockPort,
    private readonly log: LogPort,
  ) {}

  /** Reads the file. One that cannot be read, or makes no sense, is moved aside, so that nothing of it is lost. */
  async start(): Promise<void> {
    try {
      const records = GuestRecords.parse(JSON.parse(await readFile(this.path, 'utf8')));
      for (const [uuid, record] of Object.entries(records)) this.#records.set(uuid, record);
    } catch (error) {
      if (isAbsent(error)) return;
      const aside = `${this.path}.broken`;
      this.log.error(
        TOPIC,
        `${this.path}: the records of guests cannot be read (${messageOf(error).replaceAll(/\s+/g, ' ')}): kept as ${aside}, ` +
          'volume and leave to record begin anew as policy says',
      );
      await rename(this.path, aside).catch(() => undefined);
    }
  }

  read(uuid: string): GuestRecord {
    return this.#records.get(uuid) ?? {};
  }

  write(uuid: string, record: GuestRecord): void {
    this.#records.delete(uuid); // to the end: it is the last one changed
    if (Object.values(record).some((value) => value !== undefined)) this.#records.set(uuid, record);
    for (const oldest of this.#records.keys()) {
      if (this.#records.size <= RECORDS_MAX) break;
      this.#records.delete(oldest);
    }
    this.#writeIn(WRITE_DELAY_MS);
  }

  /** Writes what is not yet written. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const pending = this.#cancelTimer;
    this.#cancelTimer = undefined;
    pending?.();
    if (pending !== undefined) await this.#queue.run(() => this.#save());
    await this.#queue.idle();
  }

  #writeIn(delayMs: number): void {
    this.#cancelTimer ??= this.clock.after(delayMs, () => {
      this.#cancelTimer = undefined;
      void this.#queue.run(async () => {
        if (!(await this.#save()) && !this.#stopped) this.#writeIn(RETRY_MS);
      });
    });
  }

  /** Whole or not at all, also when the machine stops meanwhile. Returns whether it is written. */
  async #save(): Promise<boolean> {
    const next = `${this.path}.new`;
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      const file = await open(next, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify(Object.fromEntries(this.#records), null, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(next, this.path);
      this.#complained = false;
      return true;
    } catch (error) {
      if (!this.#complained) {
        this.log.error(TOPIC, `${this.path}: volumes and leave to record are not kept: ${messageOf(error)}`);
      }
      this.#complained = true;
      return false;
    }
  }
}
