// SPDX-License-Identifier: LGPL-2.1-or-later
import koffi from 'koffi';

const leave = koffi.load('libc.so.6').func('void _exit(int status)') as (status: number) => void;

/**
 * Ends the process at once. `process.exit` first waits for the worker threads, and a call of libxenstore on a connection
 * that has died never returns: a daemon that was told to stop would stay. All output is written synchronously before.
 */
export const exitNow = (status: number): never => {
  leave(status);
  throw new Error('unreachable');
};
