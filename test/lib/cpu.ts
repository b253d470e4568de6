// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFileSync } from 'node:fs';

/** USER_HZ, which is 100 on every architecture that Linux exports it for. */
const TICKS_PER_SECOND = 100;
/** In /proc/PID/stat, counted from the state, which follows the name in parentheses. */
const UTIME = 11;
const STIME = 12;

/** User and system time of a process and its threads so far, seconds. @throws Error when it does not run */
export function cpuSecondsOf(pid: number | undefined): number {
  if (pid === undefined) {
    throw new Error('the process does not run');
  }
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SECOND;
}
