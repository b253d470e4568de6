// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * The files that the stand-in libraries map: the slots of event channels, and the memory of all grantable pages.
 * Writing to a file is coherent with its mappings, so Node needs no mapping of its own.
 */
import fs from 'node:fs';
import { RpcError } from './rpc.js';

export const PAGE_BYTES = 4096;
/** Sparse: a page costs memory only once it has been used. */
const PAGES_MAX = 262144;

/**
 * A slot, as in stand-ins/layout.h: u32 signal, handle, port, peer, loses. The stand-ins write `signal` while a port is
 * bound, and take `loses` back; Node writes the rest.
 */
const SLOT_BYTES = 32;
const SLOTS_MAX = 16384;
const SIGNAL_AT = 0;
const PEER_AT = 12;
const LOSES_AT = 16;

export class SlotTable {
  readonly #fd: number;
  /** Oldest first: a slot rests before it is used again, so that a late notification seldom meets a new owner. */
  readonly #free: number[] = [];
  /** Slot 0 means "none". */
  #next = 1;

  constructor(path: string) {
    this.#fd = fs.openSync(path, 'w+');
    fs.ftruncateSync(this.#fd, SLOTS_MAX * SLOT_BYTES);
  }

  /** @throws RpcError ENOSPC */
  allocate(handleId: number, port: number): number {
    const slot = this.#next < SLOTS_MAX ? this.#next++ : this.#free.shift();
    if (slot === undefined) throw new RpcError('ENOSPC', 'all slots for event channels are in use');
    this.#write(slot, SIGNAL_AT, [0, handleId, port, 0, 0]);
    return slot;
  }

  /** Where notifications of this slot go; 0 for nowhere. */
  setPeer(slot: number, peer: number): void {
    this.#write(slot, PEER_AT, [peer]);
  }

  /** The next notification of this slot gets lost. */
  loseNext(slot: number): void {
    this.#write(slot, LOSES_AT, [1]);
  }

  free(slot: number): void {
    this.#write(slot, SIGNAL_AT, [0, 0, 0, 0, 0]);
    this.#free.push(slot);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  #write(slot: number, at: number, words: number[]): void {
    fs.writeSync(
      this.#fd,
      Buffer.from(Uint32Array.from(words).buffer),
      0,
      words.length * 4,
      slot * SLOT_BYTES + at,
    );
  }
}

/** Pages, each of which is free again when nobody has it mapped any more. */
export class PageFile {
  readonly #fd: number;
  readonly #holders = new Map<number, number>();
  readonly #free: number[] = [];
  #next = 0;

  constructor(path: string) {
    this.#fd = fs.openSync(path, 'w+');
    fs.ftruncateSync(this.#fd, PAGES_MAX * PAGE_BYTES);
  }

  /**
   * Takes count pages, held once. Their content is what their last owner left: the stand-in clears it.
   * @throws RpcError ENOMEM
   */
  allocate(count: number): number[] {
    if (this.#free.length + PAGES_MAX - this.#next < count) throw new RpcError('ENOMEM', 'no page is left');
    const pages = this.#free.splice(0, count).sort((a, b) => a - b);
    while (pages.length < count) pages.push(this.#next++);
    for (const page of pages) this.hold(page);
    return pages;
  }

  hold(page: number): void {
    this.#holders.set(page, (this.#holders.get(page) ?? 0) + 1);
  }

  drop(page: number): void {
    const holders = (this.#holders.get(page) ?? 0) - 1;
    if (holders > 0) {
      this.#holders.set(page, holders);
      return;
    }
    this.#holders.delete(page);
    this.#free.push(page);
  }

  clearByte(page: number, offset: number): void {
    fs.writeSync(this.#fd, Buffer.alloc(1), 0, 1, page * PAGE_BYTES + offset);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}
