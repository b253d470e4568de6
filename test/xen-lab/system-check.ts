// SPDX-License-Identifier: LGPL-2.1-or-later
/** Whether this host can have a machine; what it lacks is said before anything is begun. */
import { readFileSync, statfsSync } from 'node:fs';

const GIB = 1024 ** 3;
/** Debian releases whose packages make an image, by code name. */
const SUITES = ['bookworm', 'trixie'];

/** The host's Debian release, which is the image's. @throws Error on a host that no image can be built for */
export function hostSuite(osRelease: string, arch: string): string {
  if (arch !== 'x64') {
    throw new Error(`this host's architecture is ${arch}: the lab's Xen is amd64's, and so must the host be`);
  }
  const suite = /^VERSION_CODENAME="?(\w+)"?$/m.exec(osRelease)?.[1] ?? 'unknown';
  if (!SUITES.includes(suite)) {
    throw new Error(
      `this host's release is '${suite}' (VERSION_CODENAME in /etc/os-release): the lab is made of the host's own ` +
        `packages and knows ${SUITES.join(' and ')}`,
    );
  }
  return suite;
}

/** @throws Error when a folder's file system has less than so much room */
export function checkDisk(dir: string, gib: number, purpose: string): void {
  const { bavail, bsize } = statfsSync(dir);
  const free = (bavail * bsize) / GIB;
  if (free < gib) {
    throw new Error(
      `${purpose} needs ${gib} GB and ${dir} has ${free.toFixed(1)}: make room, try 'scripts/xen-lab clean', or ` +
        'point XDG_CACHE_HOME elsewhere',
    );
  }
}

/** @throws Error when less memory than a machine comes to use is free */
export function checkMemory(meminfo: string, gib: number): void {
  const kib = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0);
  const free = (kib * 1024) / GIB;
  if (free < gib) {
    throw new Error(
      `a machine comes to use ${gib} GB of memory and ${free.toFixed(1)} are free: end other programs, or ` +
        "another machine with 'scripts/xen-lab down'",
    );
  }
}

export function readHost(): { osRelease: string; meminfo: string } {
  return {
    osRelease: readFileSync('/etc/os-release', 'utf8'),
    meminfo: readFileSync('/proc/meminfo', 'utf8'),
  };
}
