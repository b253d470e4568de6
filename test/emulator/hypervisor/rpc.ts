// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * The calls of the stand-in libraries: {u32 op, u32 count} and count words, answered by {i32 status, u32 count} and
 * count words, in the machine's order. A negative status is an errno.
 */
import net from 'node:net';
import os from 'node:os';

/** The numbers are those of stand-ins/layout.h. */
export const Op = {
  OPEN: 1,
  BIND_UNBOUND: 2,
  BIND_INTERDOMAIN: 3,
  UNBIND: 4,
  RESTRICT: 5,
  SHARE: 6,
  UNSHARE: 7,
  MAP: 8,
  UNMAP: 9,
  CLOSE: 10,
} as const;

/** gntdev maps at most 65536 pages in a call, two words each. */
const WORDS_MAX = 2 * 65536 + 16;
const HEADER_BYTES = 8;

type ErrnoName =
  'EINVAL' | 'ENOSPC' | 'ENOMEM' | 'ENODEV' | 'ESRCH' | 'EACCES' | 'ENOTCONN' | 'EEXIST' | 'ENOSYS';

/** A call that is refused; the library's caller gets the errno. */
export class RpcError extends Error {
  readonly errno: number;

  constructor(
    readonly code: ErrnoName,
    what: string,
  ) {
    super(`${code}: ${what}`);
    this.name = 'RpcError';
    this.errno = os.constants.errno[code];
  }
}

/** What one library handle can do; made when it connects. */
export interface RpcTarget {
  /** @throws RpcError */
  call(op: number, words: readonly number[]): number[];
  /** The handle was closed, or its process died. Called once. */
  release(): void;
}

/** Listens on a domain's hypervisor.sock. */
export async function listenForHandles(socketPath: string, open: () => RpcTarget): Promise<net.Server> {
  const server = net.createServer((socket) => {
    serve(socket, open());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  return server;
}

function serve(socket: net.Socket, target: RpcTarget): void {
  let pending = Buffer.alloc(0);
  socket.on('data', (octets: Buffer) => {
    pending = Buffer.concat([pending, octets]);
    while (pending.length >= HEADER_BYTES) {
      const count = pending.readUInt32LE(4);
      const end = HEADER_BYTES + count * 4;
      if (count > WORDS_MAX) {
        socket.destroy();
        return;
      }
      if (pending.length < end) return;
      socket.write(answer(target, pending.readUInt32LE(0), toWords(pending.subarray(HEADER_BYTES, end))));
      pending = pending.subarray(end);
    }
  });
  // A process that dies in the middle of a call: 'close' follows.
  socket.on('error', () => undefined);
  socket.on('close', () => {
    target.release();
  });
}

function answer(target: RpcTarget, op: number, words: number[]): Buffer {
  try {
    return encodeAnswer(0, target.call(op, words));
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    return encodeAnswer(-error.errno, []);
  }
}

function encodeAnswer(status: number, words: readonly number[]): Buffer {
  const octets = Buffer.alloc(HEADER_BYTES + words.length * 4);
  octets.writeInt32LE(status, 0);
  octets.writeUInt32LE(words.length, 4);
  words.forEach((word, index) => octets.writeUInt32LE(word, HEADER_BYTES + index * 4));
  return octets;
}

const toWords = (octets: Buffer): number[] =>
  Array.from({ length: octets.length / 4 }, (_, index) => octets.readUInt32LE(index * 4));
