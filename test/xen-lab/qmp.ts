// SPDX-License-Identifier: LGPL-2.1-or-later
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { z } from 'zod';

import { within } from '../lib/wait.js';

const ANSWER_TIMEOUT_MS = 20_000;

/** What QEMU sends: its greeting, events, and one of the last two for each command. */
const Message = z.object({
  return: z.unknown().optional(),
  error: z.object({ desc: z.string() }).optional(),
  event: z.string().optional(),
  QMP: z.unknown().optional(),
});

/** QEMU's control socket, one command after the other; qemu-qmp-ref(7). */
export class Qmp {
  private readonly lines: Interface;
  private waiting: { resolve: (value: unknown) => void; reject: (error: Error) => void } | undefined;

  private constructor(private readonly socket: Socket) {
    this.lines = createInterface({ input: socket });
    this.lines.on('line', (line) => {
      this.take(line);
    });
    socket.on('error', () => undefined); // `close` follows
    socket.once('close', () => {
      this.waiting?.reject(new Error('QEMU closed its control socket: it has ended'));
    });
  }

  /** @throws Error when no QEMU listens there */
  static async open(path: string): Promise<Qmp> {
    const socket = connect(path);
    await within(`QEMU to take a connection on ${path}`, ANSWER_TIMEOUT_MS, once(socket, 'connect'));
    const qmp = new Qmp(socket);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** @throws Error with QEMU's own words when it refuses */
  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
    this.socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    try {
      return await within(`QEMU's answer to ${command}`, ANSWER_TIMEOUT_MS, answer);
    } finally {
      this.waiting = undefined;
    }
  }

  close(): void {
    this.lines.close();
    this.socket.destroy();
  }

  private take(line: string): void {
    const message = Message.parse(JSON.parse(line));
    if (message.event !== undefined || message.QMP !== undefined) {
      return;
    }
    if (message.error === undefined) {
      this.waiting?.resolve(message.return);
    } else {
      this.waiting?.reject(new Error(`QEMU: ${message.error.desc}`));
    }
  }
}
