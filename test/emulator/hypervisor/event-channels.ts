// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * Event channels: who is bound to whom. Notifying and unmasking happen in the stand-ins, in the shared slots; here
 * slots are only tied together and taken apart.
 */
import fs from 'node:fs';
import path from 'node:path';
import { RpcError } from './rpc.js';
import type { SlotTable } from './tables.js';

/** As in Xen's two-level event channels on 64-bit. */
const PORTS_MAX = 4096;
/** Marks a number in a FIFO as an event that Node raises, which cannot set the slot's pending bit itself. */
const RAISED_BY_NODE = 0x80000000;

export interface Port {
  readonly number: number;
  readonly slot: number;
  readonly handleId: number;
  readonly table: PortTable;
  /** Who may bind to it. */
  remoteDomid: number;
  peer: Port | undefined;
  /** Its handle, and grants that will notify it when they end. */
  holders: number;
  /** Its domain was resumed or destroyed: nothing reaches it any more. */
  isStale: boolean;
}

/** The ports of one domain, until it is destroyed or resumed. */
export class PortTable {
  readonly #ports = new Map<number, Port>();

  constructor(
    readonly domid: number,
    private readonly slots: SlotTable,
  ) {}

  get size(): number {
    return this.#ports.size;
  }

  get(number: number): Port | undefined {
    return this.#ports.get(number);
  }

  /** A port that remoteDomid may bind to. */
  bindUnbound(handleId: number, remoteDomid: number): Port {
    const number = this.#lowestFree();
    const slot = this.slots.allocate(handleId, number);
    const port = {
      number,
      slot,
      handleId,
      table: this,
      remoteDomid,
      peer: undefined,
      holders: 1,
      isStale: false,
    };
    this.#ports.set(number, port);
    return port;
  }

  /**
   * A port bound to one that another domain (or this one) has left unbound for us.
   * @throws RpcError EINVAL when the remote port is not such a port
   */
  bindInterdomain(handleId: number, remote: PortTable, remoteNumber: number): Port {
    const peer = remote.get(remoteNumber);
    if (peer === undefined || peer.peer !== undefined || peer.remoteDomid !== this.domid) {
      throw new RpcError(
        'EINVAL',
        `port ${remoteNumber} of domain ${remote.domid} is not unbound for ${this.domid}`,
      );
    }
    const port = this.bindUnbound(handleId, remote.domid);
    port.peer = peer;
    peer.peer = port;
    this.slots.setPeer(port.slot, peer.slot);
    this.slots.setPeer(peer.slot, port.slot);
    return port;
  }

  /** Gives up one hold of the port; with the last it is closed, and its peer is unbound again. */
  release(port: Port): void {
    port.holders -= 1;
    if (port.holders > 0) return;
    this.#disconnect(port);
    if (!port.isStale) this.#ports.delete(port.number);
    this.slots.free(port.slot);
  }

  /** The domain is gone or resumed: all its ports are dead, though handles still know them. */
  endAll(): void {
    for (const port of this.#ports.values()) {
      this.#disconnect(port);
      port.isStale = true;
    }
    this.#ports.clear();
  }

  /** The next event to, or from, each port does not arrive. */
  loseEvents(way: 'to' | 'from'): void {
    for (const port of this.#ports.values()) {
      const deaf = way === 'to' ? port : port.peer;
      if (deaf !== undefined) this.slots.loseNext(deaf.slot);
    }
  }

  dump(): object[] {
    return [...this.#ports.values()].map(({ number, handleId, remoteDomid, peer }) => ({
      port: number,
      handle: handleId,
      remoteDomid,
      remotePort: peer?.number ?? null,
    }));
  }

  #disconnect(port: Port): void {
    const { peer } = port;
    if (peer === undefined) return;
    port.peer = undefined;
    peer.peer = undefined;
    this.slots.setPeer(port.slot, 0);
    this.slots.setPeer(peer.slot, 0);
  }

  #lowestFree(): number {
    for (let number = 1; number < PORTS_MAX; number++) if (!this.#ports.has(number)) return number;
    throw new RpcError('ENOSPC', `domain ${this.domid} has no event-channel port left`);
  }
}

/** Where a handle's events arrive. */
export const fifoOf = (directory: string, handleId: number): string =>
  path.join(directory, 'handles', String(handleId));

/** Notifies the peer of a port, in the name of a process that has died or unmapped. */
export function notifyPeer(directory: string, port: Port): void {
  const { peer } = port;
  if (peer === undefined) return;
  try {
    raise(fifoOf(directory, peer.handleId), peer.number);
  } catch (error) {
    // The peer's handle may be closed while a grant still holds its port; and a full FIFO will wake its reader anyway.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EAGAIN') throw error;
  }
}

function raise(fifo: string, port: number): void {
  const fd = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  try {
    fs.writeSync(fd, Buffer.from(Uint32Array.of(RAISED_BY_NODE + port).buffer));
  } finally {
    fs.closeSync(fd);
  }
}
