// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';
import net from 'node:net';

import { DOM0 } from '../emulator/client.js';
import { encodeMessage, MessageDecoder } from '../emulator/xenstore/wire.js';
import { EmulatedXen } from '../host/emulated/emulated-xen.js';
import type { Host } from '../host/host.js';

/** xen-audiod's: for transactions, for the rest, and a silent one that tells of the end. */
const CONNECTIONS = 3;

/** Where the requests of a program stop. */
interface Trip {
  /** How many of its connections are still to come. */
  connections: number;
  /** So many are let through. */
  left: number;
  readonly reached: () => void;
}

/** Stands between xenstore and all programs of dom0 that connect from now on. */
export class XenstoreWire {
  readonly #ends = new Set<net.Socket>();
  #server: net.Server | undefined;
  /** For the program that connects next. */
  #trip: Trip | undefined;

  private constructor(
    private readonly path: string,
    private readonly behind: string,
  ) {}

  static async tap({ xen }: Host): Promise<XenstoreWire> {
    assert.ok(xen instanceof EmulatedXen);
    const path = xen.control.xenstorePath(DOM0);
    const behind = `${path}.behind`;
    renameSync(path, behind);
    const wire = new XenstoreWire(path, behind);
    await wire.mend();
    return wire;
  }

  /** As xenstored's death looks to them: nobody is connected, and nobody gets a connection. */
  cut(): void {
    this.#server?.close();
    rmSync(this.path, { force: true });
    for (const end of this.#ends) end.destroy();
    this.#ends.clear();
  }

  /** Lets them connect again. */
  async mend(): Promise<void> {
    const server = net.createServer((near) => {
      const far = net.connect(this.behind);
      for (const [end, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#ends.add(end);
        end.on('error', () => undefined); // 'close' follows
        end.on('close', () => {
          this.#ends.delete(end);
          other.destroy();
        });
      }
      far.pipe(near);
      this.#forward(near, far);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
  }

  /** Of the xen-audiod that connects next, xenstored gets so many requests and no more. Calls back at the first that it does not get. */
  tripAfter(requests: number, reached: () => void): void {
    this.#trip = { connections: CONNECTIONS, left: requests, reached };
  }

  #forward(near: net.Socket, far: net.Socket): void {
    const trip = this.#trip;
    if (trip === undefined) {
      near.pipe(far);
      return;
    }
    trip.connections -= 1;
    if (trip.connections === 0) this.#trip = undefined;
    const decoder = new MessageDecoder();
    near.on('data', (octets: Buffer) => {
      for (const message of decoder.push(octets)) {
        if (trip.left > 0) far.write(encodeMessage(message));
        else if (trip.left === 0) trip.reached();
        trip.left -= 1;
      }
    });
  }
}
