// SPDX-License-Identifier: LGPL-2.1-or-later
import type { Guest } from '../client/shapes.js';
import { toJson } from '../show/json.js';
import type { MonitorView } from './monitor.js';

/** Prints a line of JSON for each guest that is another than before, and one when a guest, or the daemon, comes or goes. */
export class JsonView implements MonitorView {
  #running: boolean | undefined;
  readonly #printed = new Map<string, string>();
  #wanted: () => void = () => undefined;
  readonly #drained = (): void => {
    this.#wanted();
  };

  constructor(
    private readonly output: NodeJS.WriteStream,
    readonly quit: Promise<void>,
  ) {
    output.on('drain', this.#drained);
  }

  show(guests: readonly Guest[] | undefined): void {
    if (this.output.writableNeedDrain) return;
    const running = guests !== undefined;
    if (running !== this.#running) this.#print({ event: 'daemon', running });
    this.#running = running;
    const there = new Set<string>();
    for (const guest of guests ?? []) {
      there.add(guest.id);
      const text = JSON.stringify(guest);
      if (this.#printed.get(guest.id) === text) continue;
      this.#printed.set(guest.id, text);
      this.#print({ event: 'guest', guest });
    }
    for (const id of [...this.#printed.keys()].filter((known) => !there.has(known))) {
      this.#printed.delete(id);
      this.#print({ event: 'gone', id });
    }
  }

  onWanted(listener: () => void): void {
    this.#wanted = listener;
  }

  close(): void {
    this.output.off('drain', this.#drained);
  }

  #print(value: unknown): void {
    this.output.write(`${toJson(value)}\n`);
  }
}
