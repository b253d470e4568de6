// SPDX-License-Identifier: LGPL-2.1-or-later
import koffi from 'koffi';

type Native = (...args: unknown[]) => number;

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const PATH_OCTETS_MAX = 107;

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)') as Native;
const sendto = libc.func(
  'long sendto(int fd, const void *data, unsigned long length, int flags, const void *address, unsigned int size)',
) as Native;

/** Sends datagrams to a Unix socket, which Node cannot. The descriptor lives as long as the process. */
export class UnixDatagram {
  readonly #fd: number;
  readonly #address: Buffer;

  /** @param path of the socket; an `@` in front stands for the abstract namespace. Throws Error when that cannot be */
  constructor(path: string) {
    const name = Buffer.from(path, 'utf8');
    if (!/^[/@]/.test(path) || name.length > PATH_OCTETS_MAX)
      throw new Error(`${path}: expected the path of a socket, ${PATH_OCTETS_MAX} octets at most`);
    if (name[0] === 0x40) name[0] = 0;
    const family = Buffer.from(Uint16Array.of(AF_UNIX).buffer);
    this.#address = Buffer.concat([family, name, Buffer.alloc(name[0] === 0 ? 0 : 1)]);
    this.#fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (this.#fd < 0) throw new Error(`${path}: no socket: errno ${koffi.errno()}`);
  }

  /**
   * Sends; returns false when the receiver is gone.
   * @param wait waits for the receiver to have room again; without it, no room is false as well
   */
  send(data: Buffer, wait: boolean): boolean {
    const flags = wait ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_DONTWAIT;
    return sendto(this.#fd, data, data.length, flags, this.#address, this.#address.length) === data.length;
  }
}
