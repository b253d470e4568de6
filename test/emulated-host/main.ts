// SPDX-License-Identifier: LGPL-2.1-or-later
/** The command behind scripts/emulated-host, which holds the help text. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { thisMachine } from '../host/machine.js';
import { PulseClient } from '../lib/pulse.js';
import type { HostDescription } from './description.js';
import type { HostOptions } from '../host/host.js';
import { defaultDir } from '../host/folder.js';
import { isRunning, readDescription, startSupervised, stopSupervised, supervise } from './supervisor.js';

const START_TIMEOUT_MS = 60_000;
/** More for each guest. */
const GUEST_TIMEOUT_MS = 30_000;
const GUESTS_MAX = 64;

interface Arguments {
  json: boolean;
  host: HostOptions & { dir: string; guests: number };
}

function readArguments(args: string[]): Arguments {
  const { values } = parseArgs({
    args,
    options: {
      dir: { type: 'string' },
      guests: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      'null-sink-args': { type: 'string' },
      'sink-args': { type: 'string' },
      'mic-feed-args': { type: 'string' },
      'source-args': { type: 'string' },
      'allow-capture': { type: 'string' },
    },
  });
  if (!/^\d+$/.test(values.guests) || Number(values.guests) > GUESTS_MAX) {
    throw new Error(`--guests ${values.guests}: expected a number from 0 to ${GUESTS_MAX}`);
  }
  const guests = Number(values.guests);
  return {
    json: values.json,
    host: {
      dir: values.dir === undefined ? defaultDir() : resolve(values.dir),
      guests,
      nullSinkArgs: values['null-sink-args'] ?? '',
      sinkArgs: values['sink-args'] ?? '',
      micFeedArgs: values['mic-feed-args'] ?? '',
      sourceArgs: values['source-args'] ?? '',
      mayRecord: guestNames(values['allow-capture'], guests),
    },
  };
}

/** The guests that `--allow-capture` numbers. */
function guestNames(list: string | undefined, guests: number): string[] {
  const numbers = list === undefined ? [] : list.split(',');
  if (!numbers.every((number) => /^[1-9]\d*$/.test(number) && Number(number) <= guests)) {
    throw new Error(
      `--allow-capture ${list ?? ''}: expected numbers of guests, from 1 to ${guests}, as in 1,2`,
    );
  }
  return numbers.map((number) => `guest${number}`);
}

async function up({ host }: Arguments): Promise<void> {
  const description = await startSupervised(host, START_TIMEOUT_MS + host.guests * GUEST_TIMEOUT_MS);
  print(JSON.stringify(description, null, 2));
}

async function down({ host }: Arguments): Promise<void> {
  await stopSupervised(readDescription(host.dir));
}

async function status({ json, host: { dir } }: Arguments): Promise<void> {
  const host = readDescription(dir);
  const parts = [
    { name: 'supervisor', up: isRunning(host) },
    { name: 'dom0', up: await answers(host.dom0.pulse, dir) },
    { name: 'xen-audiod', up: isAlive(host.dom0.pids.controller) },
    ...(await Promise.all(
      host.guests.map(async (guest) => ({ name: guest.name, up: await answers(guest.pulse, dir) })),
    )),
  ];
  const ok = parts.every((part) => part.up);
  print(json ? JSON.stringify({ ok, parts, host }, null, 2) : describeParts(host, parts));
  process.exitCode = ok ? 0 : 1;
}

function describeParts(host: HostDescription, parts: { name: string; up: boolean }[]): string {
  const lines = parts.map((part) => `${part.up ? 'up  ' : 'DOWN'}  ${part.name}`);
  return [`emulated host in ${host.dir}`, ...lines].join('\n');
}

async function answers(server: string, dir: string): Promise<boolean> {
  try {
    await new PulseClient(thisMachine, server, `${dir}/status-cookie`).pactl('info');
    return true;
  } catch {
    return false;
  }
}

function isAlive(pid: number | null): boolean {
  try {
    return pid !== null && process.kill(pid, 0);
  } catch {
    return false;
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const [command = '', ...rest] = process.argv.slice(2);
  switch (command) {
    case 'up':
      return up(readArguments(rest));
    case 'down':
      return down(readArguments(rest));
    case 'status':
      return status(readArguments(rest));
    case 'supervise':
      return supervise(JSON.parse(rest[0] ?? '{}') as HostOptions);
    default:
      throw new Error(`unknown command '${command}': say up, down or status`);
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
