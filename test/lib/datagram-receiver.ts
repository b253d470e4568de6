// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync } from 'node:fs';
import readline from 'node:readline';

import { OwnedProcess } from './process.js';
import { waitFor } from './wait.js';

/** Node has no datagrams over Unix sockets. */
const PROGRAM = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
while True:
    print(receiver.recv(65536).hex(), flush=True)
`;

/** A Unix socket that keeps the datagrams it gets: stands for systemd and for journald. */
export class DatagramReceiver {
  readonly received: Buffer[] = [];

  private constructor(
    readonly path: string,
    private readonly process: OwnedProcess,
  ) {
    readline.createInterface({ input: process.stdout }).on('line', (line) => {
      this.received.push(Buffer.from(line, 'hex'));
    });
  }

  /** Makes a socket at `path`, which the kernel closes when this process ends. */
  static async start(path: string): Promise<DatagramReceiver> {
    const options = { pipe: { stdout: true } };
    const child = OwnedProcess.start('receiver', 'python3', ['-c', PROGRAM, path], options);
    const receiver = new DatagramReceiver(path, child);
    await waitFor(`the socket ${path}`, () => existsSync(path));
    return receiver;
  }

  get texts(): string[] {
    return this.received.map((datagram) => datagram.toString('utf8'));
  }

  async stop(): Promise<void> {
    await this.process.kill();
  }
}
