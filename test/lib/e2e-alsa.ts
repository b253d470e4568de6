// SPDX-License-Identifier: LGPL-2.1-or-later
/** A guest whose own kernel plays and records: snd_xen_front, with nothing of ours installed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Guest } from '../host/guest.js';
import type { Host } from '../host/host.js';
import { mayUseRealtime, type Machine } from '../host/machine.js';
import { Recorder } from './e2e-play.js';
import type { OwnedProcess } from './process.js';
import type { StreamFormat } from './pulse.js';
import { waitFor } from './wait.js';

const DRIVER = 'snd_xen_front';
const ALSA_FORMATS: Readonly<Record<string, string>> = { s16le: 'S16_LE', s32le: 'S32_LE', u8: 'U8' };
/** modprobe waits for the backend, and the driver for its applications. */
const MODPROBE_TIMEOUT_MS = 40_000;

/** A buffer of ALSA's: so many periods of so many frames; their own choice when absent. */
export interface AlsaBuffer {
  periodFrames: number;
  periods: number;
}

/** Runs a program in a guest to its end. @returns what it printed @throws Error with what it said when it fails */
export async function runIn(guest: Guest, command: string, ...args: string[]): Promise<string> {
  return runOn(guest.domain.machine, command, ...args);
}

async function runOn(machine: Machine, command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await machine.run(command, args, { timeoutMs: MODPROBE_TIMEOUT_MS });
  assert.equal(code, 0, `${command} ${args.join(' ')} in the guest: ${stderr.trim()}`);
  return stdout;
}

/** Loads the kernel's driver, and waits until it has made its card. */
export async function loadDriver(guest: Guest): Promise<void> {
  await loadDriverOf(guest.domain.machine);
  await guest.connected();
}

/** The same on a machine that no `Guest` stands for. modprobe returns before there is a card. */
export async function loadDriverOf(machine: Machine): Promise<void> {
  await runOn(machine, 'modprobe', DRIVER);
  await cardIsThere(machine);
}

export async function cardIsThere(machine: Machine): Promise<void> {
  await waitFor(
    'an ALSA card in the guest',
    async () => (await runOn(machine, 'cat', '/proc/asound/cards')).includes('0 ['),
    { timeoutMs: 30_000 },
  );
}

/** Takes its card away and unloads it, so that the next card of this guest is free; no program may use it. */
async function unloadDriver(host: Host, guest: Guest): Promise<void> {
  await host.removeCard(guest);
  await waitFor(
    `${DRIVER} to be unloaded in ${guest.domain.name}`,
    async () => (await guest.domain.machine.run('modprobe', ['-r', DRIVER])).code === 0,
  );
}

/** Ends a host whose guest has the driver, whatever becomes of that; harmless before they are there. */
export async function stopWithDriver(host: Host | undefined, guest: Guest | undefined): Promise<void> {
  try {
    if (host !== undefined && guest !== undefined) await unloadDriver(host, guest);
  } finally {
    await host?.stop();
  }
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
  return startAlsa(guest, 'aplay', [...streamArguments(format, buffer), file]);
}

/** Starts arecord on the card; resolves when it has recorded something. */
export async function arecord(guest: Guest, format: StreamFormat, buffer?: AlsaBuffer): Promise<Recorder> {
  const file = `${guest.dir}.arecorded`;
  const process = await startAlsa(guest, 'arecord', streamArguments(format, buffer), file);
  return Recorder.ofProcess(process, file, format);
}

function streamArguments(format: StreamFormat, buffer?: AlsaBuffer): string[] {
  return [
    '--device=hw:0,0',
    '--file-type=raw',
    `--format=${ALSA_FORMATS[format.format] ?? format.format}`,
    `--rate=${format.rate}`,
    `--channels=${format.channels}`,
    ...(buffer === undefined
      ? []
      : [`--period-size=${buffer.periodFrames}`, `--buffer-size=${buffer.periodFrames * buffer.periods}`]),
  ];
}

async function startAlsa(
  guest: Guest,
  program: string,
  args: readonly string[],
  outputFile?: string,
): Promise<OwnedProcess> {
  const { machine } = guest.domain;
  const options = { logFile: alsaLog(guest), ...(outputFile === undefined ? {} : { outputFile }) };
  const name = `${program} in ${guest.domain.name}`;
  return (await mayUseRealtime(machine))
    ? machine.start(name, 'chrt', ['--rr', '4', program, ...args], options)
    : machine.start(name, program, args, options);
}

/** What aplay and arecord said. */
export function alsaLog(guest: Guest): string {
  return `${guest.dir}.alsa.log`;
}
