// SPDX-License-Identifier: LGPL-2.1-or-later
/** What native code of this process has allocated: a leak below JavaScript, which its heap does not show. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import koffi from 'koffi';

/** `struct mallinfo2` of malloc.h. */
const FIELDS = [
  ...['arena', 'ordblks', 'smblks', 'hblks', 'hblkhd'],
  ...['usmblks', 'fsmblks', 'uordblks', 'fordblks', 'keepcost'],
];

koffi.struct('mallinfo2', Object.fromEntries(FIELDS.map((name) => [name, 'size_t'])));
const mallinfo2 = koffi.load('libc.so.6').func('mallinfo2 mallinfo2()') as () => {
  uordblks: number | bigint;
};

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Octets that malloc has given out and not got back, after what JavaScript holds no more has been freed. */
export function allocatedBytes(): number {
  collectGarbage();
  return Number(mallinfo2().uordblks);
}
