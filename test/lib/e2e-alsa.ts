// SPDX-License-Identifier: LGPL-2.1-or-later
/** A guest whose own kernel plays: snd_xen_front, with nothing of ours installed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Guest } from '../host/guest.js';
import type { Host } from '../host/host.js';
import { mayUseRealtime } from '../host/machine.js';
import type { OwnedProcess } from './process.js';
import type { StreamFormat } from './pulse.js';
import { waitFor } from './wait.js';

const DRIVER = 'snd_xen_front';
const ALSA_FORMATS: Readonly<Record<string, string>> = { s16le: 'S16_LE', s32le: 'S32_LE', u8: 'U8' };
/** modprobe waits for the backend, and the driver for its applications. */
const MODPROBE_TIMEOUT_MS = 40_000;

/** A buffer of ALSA's: so many periods of so many frames; aplay's own choice when absent. */
export interface AlsaBuffer {
  periodFrames: number;
  periods: number;
}

/** Runs a program in a guest to its end. @returns what it printed @throws Error with what it said when it fails */
export async function runIn(guest: Guest, command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await guest.domain.machine.run(command, args, {
    timeoutMs: MODPROBE_TIMEOUT_MS,
  });
  assert.equal(code, 0, `${command} ${args.join(' ')} in ${guest.domain.name}: ${stderr.trim()}`);
  return stdout;
}

/** Loads the kernel's driver, and waits until it has made its card. */
export async function loadDriver(guest: Guest): Promise<void> {
  await runIn(guest, 'modprobe', DRIVER);
  await guest.connected();
  await waitFor(
    `an ALSA card in ${guest.domain.name}`,
    async () => (await runIn(guest, 'cat', '/proc/asound/cards')).includes('0 ['),
    { timeoutMs: 30_000 },
  );
}

/** Takes its card away and unloads it, so that the next card of this guest is free; no program may use it. */
export async function unloadDriver(host: Host, guest: Guest): Promise<void> {
  await host.removeCard(guest);
  await waitFor(
    `${DRIVER} to be unloaded in ${guest.domain.name}`,
    async () => (await guest.domain.machine.run('modprobe', ['-r', DRIVER])).code === 0,
  );
}

/** Brings PCM into a guest. @returns its file there */
export async function bringPcm(guest: Guest, name: string, pcm: Buffer): Promise<string> {
  await guest.domain.machine.makeFolder(guest.dir);
  const file = join(guest.dir, name);
  await guest.domain.machine.write(file, pcm);
  return file;
}

/** Starts aplay on the card; the caller owns the process. */
export async function aplay(
  guest: Guest,
  file: string,
  format: StreamFormat,
  buffer?: AlsaBuffer,
): Promise<OwnedProcess> {
  const { machine } = guest.domain;
  const sizes =
    buffer === undefined
      ? []
      : [`--period-size=${buffer.periodFrames}`, `--buffer-size=${buffer.periodFrames * buffer.periods}`];
  const args = [
    '--device=hw:0,0',
    '--file-type=raw',
    `--format=${ALSA_FORMATS[format.format] ?? format.format}`,
    `--rate=${format.rate}`,
    `--channels=${format.channels}`,
    ...sizes,
    file,
  ];
  const realtime = (await mayUseRealtime(machine)) ? ['chrt', '--rr', '4'] : [];
  const [program = 'aplay', ...rest] = [...realtime, 'aplay', ...args];
  return machine.start(`aplay in ${guest.domain.name}`, program, rest, { logFile: alsaLog(guest) });
}

/** What aplay said. */
export function alsaLog(guest: Guest): string {
  return `${guest.dir}.aplay.log`;
}
