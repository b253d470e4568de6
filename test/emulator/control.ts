// SPDX-License-Identifier: LGPL-2.1-or-later
/** The server behind control.sock, through which tests play the toolstack. */
import net from 'node:net';
import readline from 'node:readline';
import { z } from 'zod';
import { ControlRequest, type ControlResponse } from './control-protocol.js';
import type { Domains } from './domains.js';
import { DomainError } from './xen-host.js';

export class ControlServer {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  constructor(private readonly domains: Domains) {
    this.#server = net.createServer((socket) => {
      this.#serve(socket);
    });
  }

  async listen(socketPath: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(socketPath, resolve);
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
    // Requests of one client are carried out in their order.
    let last = Promise.resolve();
    readline.createInterface({ input: socket }).on('line', (line) => {
      last = last.then(async () => {
        const response = await this.#answer(line);
        if (socket.writable) socket.write(`${JSON.stringify(response)}\n`);
      });
    });
  }

  async #answer(line: string): Promise<ControlResponse> {
    let id: number | null = null;
    try {
      const json: unknown = JSON.parse(line);
      id = z.object({ id: z.int() }).parse(json).id;
      return { id, ok: true, result: (await this.#perform(ControlRequest.parse(json))) ?? null };
    } catch (error) {
      return { id, ok: false, error: explain(error) };
    }
  }

  async #perform(request: z.output<typeof ControlRequest>): Promise<unknown> {
    switch (request.op) {
      case 'create':
        return this.domains.create(request.host, request.key, request.domid, request.name, request.uuid);
      case 'create-host':
        return this.domains.createHost(request.key);
      case 'destroy':
        this.domains.destroy(request.key);
        return undefined;
      case 'change-domid':
        this.domains.changeDomid(request.key, request.domid, request.host);
        return undefined;
      case 'counts':
        return this.domains.counts(request.host);
      case 'ports':
        return this.domains.dumpPorts(request.key);
      case 'grants':
        return this.domains.dumpGrants(request.key);
      case 'fail':
        this.domains.faultsOf(request.key).order(request.fault, request.after, request.times);
        return undefined;
      case 'faults-left':
        return this.domains.faultsOf(request.key).left;
      case 'lose-events':
        this.domains.loseEvents(request.key, request.way);
        return undefined;
    }
  }
}

function explain(error: unknown): string {
  if (error instanceof z.ZodError) return `not a request: ${z.prettifyError(error)}`;
  if (error instanceof SyntaxError) return `not JSON: ${error.message}`;
  if (error instanceof DomainError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
