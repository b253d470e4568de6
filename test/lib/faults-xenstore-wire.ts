// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';
import net from 'node:net';

import { DOM0 } from '../emulator/client.js';
import { EmulatedXen } from '../host/emulated/emulated-xen.js';
import type { Host } from '../host/host.js';

/** Stands between xenstore and all programs of dom0 that connect from now on. */
export class XenstoreWire {
  readonly #ends = new Set<net.Socket>();
  #server: net.Server | undefined;

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
      near.pipe(far).pipe(near);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
  }
}
