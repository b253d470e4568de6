// SPDX-License-Identifier: LGPL-2.1-or-later
import koffi from 'koffi';
import { NODE_BYTES_MAX } from '../../../schemas/primitives.js';
import { XenAudioError } from '../../util/errors.js';

/** An open `struct xs_handle *`. */
export type XsHandle = bigint;

/** Outcome of a call: what it returned, and errno, which has a meaning only when that says failure. */
export interface CallResult {
  readonly value: unknown;
  readonly errno: number;
}

interface NativeFunction {
  (...args: unknown[]): unknown;
  async: (...args: unknown[]) => void;
}

const PROTOTYPES = {
  open: 'void *xs_open(unsigned long flags)',
  close: 'void xs_close(void *handle)',
  fileno: 'int xs_fileno(void *handle)',
  read: 'void *xs_read(void *handle, uint32_t tx, const char *path, _Out_ uint32_t *length)',
  directory: 'void *xs_directory(void *handle, uint32_t tx, const char *path, _Out_ uint32_t *count)',
  write: 'bool xs_write(void *handle, uint32_t tx, const char *path, const void *data, uint32_t length)',
  mkdir: 'bool xs_mkdir(void *handle, uint32_t tx, const char *path)',
  rm: 'bool xs_rm(void *handle, uint32_t tx, const char *path)',
  setPermissions:
    'bool xs_set_permissions(void *handle, uint32_t tx, const char *path, const void *perms, uint32_t count)',
  transactionStart: 'uint32_t xs_transaction_start(void *handle)',
  transactionEnd: 'bool xs_transaction_end(void *handle, uint32_t tx, bool abort)',
  watch: 'bool xs_watch(void *handle, const char *path, const char *token)',
  unwatch: 'bool xs_unwatch(void *handle, const char *path, const char *token)',
  isDomainIntroduced: 'bool xs_is_domain_introduced(void *handle, uint32_t domid)',
  checkWatch: 'void *xs_check_watch(void *handle)',
} as const;
type FunctionName = keyof typeof PROTOTYPES;

const LIBC_PROTOTYPES = {
  free: 'void free(void *pointer)',
  memcpy: 'void *memcpy(void *to, const void *from, size_t length)',
  poll: 'int poll(void *fds, unsigned long count, int timeout)',
  eventfd: 'int eventfd(unsigned int value, int flags)',
} as const;

/** More names than a guest's quota of nodes allows; a longer list is refused instead of copied. */
const NAMES_MAX = 2048;
const POLLIN = 1;
const POLLFD_BYTES = 8;
const POINTER_BYTES = koffi.sizeof('void *');
const EFD_CLOEXEC = 0o2000000;

const ERRNO_NAMES = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));

/** For messages: `EACCES`. */
export const errnoName = (errno: number): string => ERRNO_NAMES.get(errno) ?? `errno ${errno}`;

/**
 * libxenstore, and what goes with it of libc. Calls run on worker threads. What they allocate is copied and freed here:
 * no pointer but the handle leaves this class. `koffi.decode` with a length is not used: each such call of koffi 3.3
 * leaks some 18 octets, and there are thousands a second.
 */
export class LibXenstore {
  readonly #xen: Readonly<Record<FunctionName, NativeFunction>>;
  readonly #libc: Readonly<Record<keyof typeof LIBC_PROTOTYPES, NativeFunction>>;

  /** Throws XenAudioError `xenstore` when the library is not installed. */
  constructor() {
    this.#xen = bindAll('libxenstore.so.4', PROTOTYPES);
    this.#libc = bindAll('libc.so.6', LIBC_PROTOTYPES);
  }

  /** Calls a function on a worker thread. */
  call(name: FunctionName, ...args: unknown[]): Promise<CallResult> {
    return callAsync(this.#xen[name], args);
  }

  /** Copies what `xs_read` returned, cut after NODE_BYTES_MAX + 1 octets, and frees it. */
  takeValue(pointer: unknown, length: number): Buffer {
    try {
      const value = Buffer.alloc(Math.min(length, NODE_BYTES_MAX + 1));
      this.#libc.memcpy(value, pointer, value.length);
      return value;
    } finally {
      this.#libc.free(pointer);
    }
  }

  /** Copies the names `xs_directory` returned and frees them. */
  takeNames(pointer: unknown, count: number): string[] {
    try {
      if (count > NAMES_MAX)
        throw new XenAudioError('xenstore', `a directory of ${count} nodes is too large`);
      return Array.from(
        { length: count },
        (_, index) => koffi.decode(pointer, index * POINTER_BYTES, 'char *') as string,
      );
    } finally {
      this.#libc.free(pointer);
    }
  }

  /**
   * The next watch event that is there, without waiting; undefined when there is none.
   * Throws `xenstore-lost` when the connection is broken.
   */
  nextWatchEvent(handle: XsHandle): { readonly path: string; readonly token: string } | undefined {
    const pointer = this.#xen.checkWatch(handle);
    if (pointer !== null) {
      const [path = '', token = ''] = this.takeNames(pointer, 2);
      return { path, token };
    }
    const errno = koffi.errno();
    if (errno === koffi.os.errno['EAGAIN']) return undefined;
    throw new XenAudioError('xenstore-lost', `xenstore: the connection is broken (${errnoName(errno)})`);
  }

  /** A descriptor that becomes readable when 8 octets are written to it; its owner closes it. */
  makeEventFd(): number {
    const fd = Number(this.#libc.eventfd(0, EFD_CLOEXEC));
    if (fd < 0) throw new XenAudioError('xenstore', `eventfd: ${errnoName(koffi.errno())}`);
    return fd;
  }

  /** Waits on a worker thread, without a time limit, until a descriptor is readable or broken. */
  async waitReadable(fds: readonly number[]): Promise<void> {
    const pollfds = Buffer.alloc(fds.length * POLLFD_BYTES);
    for (const [index, fd] of fds.entries()) {
      pollfds.writeInt32LE(fd, index * POLLFD_BYTES);
      pollfds.writeInt16LE(POLLIN, index * POLLFD_BYTES + 4);
    }
    const { value, errno } = await callAsync(this.#libc.poll, [pollfds, fds.length, -1]);
    if (Number(value) < 0 && errno !== koffi.os.errno['EINTR']) {
      throw new XenAudioError('xenstore-lost', `poll: ${errnoName(errno)}`);
    }
  }
}

const callAsync = (native: NativeFunction, args: unknown[]): Promise<CallResult> =>
  new Promise((resolve, reject) => {
    native.async(...args, (error: Error | null, value: unknown) => {
      const errno = koffi.errno();
      if (error === null) resolve({ value, errno });
      else reject(error);
    });
  });

const bindAll = <N extends string>(
  soname: string,
  prototypes: Readonly<Record<N, string>>,
): Readonly<Record<N, NativeFunction>> => {
  try {
    const library = koffi.load(soname);
    const bound = Object.entries<string>(prototypes).map(([name, prototype]) => [
      name,
      library.func(prototype),
    ]);
    return Object.fromEntries(bound) as Record<N, NativeFunction>;
  } catch (cause) {
    throw new XenAudioError(
      'xenstore',
      `${soname} cannot be loaded: install Xen's libraries (libxenstore4)`,
      { cause },
    );
  }
};
