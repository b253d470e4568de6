// SPDX-License-Identifier: LGPL-2.1-or-later
/** What a domain of a real Xen holds through /dev/xen/*, read from its kernel; it tells nobody of watches. */
import { thisMachine, type Machine } from '../machine.js';
import type { Held } from '../xen.js';

/** Xen's own daemons hold channels and pages for other reasons than sound. */
const NOT_OURS = ['xenstored', 'oxenstored', 'xenconsoled'];
const PAGE_BYTES = 4096;

export function dom0Held(): Promise<Held> {
  return heldOn(thisMachine);
}

export function guestHeld(machine: Machine): Promise<Held> {
  return heldOn(machine);
}

async function heldOn(machine: Machine): Promise<Held> {
  const files =
    'cat /proc/interrupts; grep -H -s . /proc/[0-9]*/comm; grep -H -s /dev/xen/gnt /proc/[0-9]*/maps; true';
  const { stdout } = await machine.run('sh', ['-c', files]);
  const lines = stdout.split('\n');
  const others = processesOf(lines, NOT_OURS);
  const maps = lines.filter((line) => !others.some((folder) => line.startsWith(`${folder}/maps:`)));
  return {
    ports: lines.filter((line) => isOurChannel(line)).length,
    grants: pagesOf(maps, '/dev/xen/gntalloc'),
    mapped: pagesOf(maps, '/dev/xen/gntdev'),
    watches: 0,
  };
}

/** Folders in /proc of the programs of these names. */
function processesOf(lines: readonly string[], names: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const [, folder = '', name = ''] = /^(\/proc\/\d+)\/comm:(.*)$/.exec(line) ?? [];
    return names.includes(name) ? [folder] : [];
  });
}

/** Linux names the interrupt of a channel `evtchn:` and the program that bound it. */
function isOurChannel(line: string): boolean {
  const program = /\sevtchn:(\S+)/.exec(line)?.[1];
  return program !== undefined && !NOT_OURS.includes(program);
}

/** Pages in the mappings of a device, proc_pid_maps(5). */
function pagesOf(lines: readonly string[], device: string): number {
  let pages = 0;
  for (const line of lines) {
    const range = line.endsWith(device) ? /([0-9a-f]+)-([0-9a-f]+)\s/.exec(line) : null;
    if (range !== null) {
      pages += (parseInt(range[2] ?? '', 16) - parseInt(range[1] ?? '', 16)) / PAGE_BYTES;
    }
  }
  return pages;
}
