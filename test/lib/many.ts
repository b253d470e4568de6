// SPDX-License-Identifier: LGPL-2.1-or-later
/** Many guests get their card at the same moment: how long until all are connected, and what that costs. */
import { readFileSync } from 'node:fs';

import type { Host } from '../host/host.js';
import { type Counts } from '../host/xen.js';
import { cpuSecondsOf } from './cpu.js';
import { LightGuests } from './light-guest.js';
import { waitFor } from './wait.js';

const SETTLE_MS = 60_000;

export interface ProcessFigures {
  rssKib: number;
  threads: number;
  cpuSeconds: number;
}

export interface ManyFigures {
  guests: number;
  /** From the first write of the toolstack until the last guest is connected, and back until all cards are gone. */
  connectMs: number;
  detachMs: number;
  /** Before the guests had cards, with all connected, and after they are gone. */
  controller: ProcessFigures[];
  pulse: ProcessFigures[];
  modules: number[];
  before: Counts;
  after: Counts;
}

/** Memory, threads and time of a process. @throws Error when it does not run */
export function figuresOf(pid: number | undefined): ProcessFigures {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  const number = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return { rssKib: number('VmRSS'), threads: number('Threads'), cpuSeconds: cpuSecondsOf(pid) };
}

/** How many backend modules dom0 has. */
export async function backendModules(host: Host): Promise<number> {
  const output = await host.client.pactl('list', 'short', 'modules');
  return output.split('\n').filter((line) => line.split('\t')[1] === 'module-xen-backend').length;
}

/** Attaches and detaches all once, for what is made at the first time and kept: directories above cards, their watches. */
export async function warmUp(host: Host, guests: LightGuests): Promise<void> {
  const held = async (): Promise<string> => JSON.stringify((await host.counts()).domains);
  const before = await held();
  await attachAll(guests);
  await detachAll(guests);
  await waitFor('all domains to let go of all cards', async () => (await held()) === before, {
    timeoutMs: SETTLE_MS,
  });
}

/**
 * Attaches a card with a playback and a capture stream to each of so many light guests at once, and detaches all.
 * @param whenConnected what to do in between
 */
export async function attachAndDetach(
  host: Host,
  guests: LightGuests,
  whenConnected: () => Promise<void> = () => Promise.resolve(),
): Promise<ManyFigures> {
  const sample = (): [ProcessFigures, ProcessFigures] => [
    figuresOf(host.controller.pid),
    figuresOf(host.pulse.pid),
  ];
  const before = await host.counts();
  const samples = [sample()];
  const modules = [await backendModules(host)];

  const connectMs = await timeOf(() => attachAll(guests));
  samples.push(sample());
  modules.push(await backendModules(host));
  await whenConnected();

  const detachMs = await timeOf(() => detachAll(guests));
  await returnsTo(host, before);
  samples.push(sample());
  modules.push(await backendModules(host));
  return {
    guests: guests.all.length,
    connectMs,
    detachMs,
    controller: samples.map(([controller]) => controller),
    pulse: samples.map(([, pulse]) => pulse),
    modules,
    before,
    after: await host.counts(),
  };
}

/** What is held once that no longer changes. */
export async function settledCounts(host: Host): Promise<Counts> {
  let last: Counts | undefined;
  const isSame = async (): Promise<boolean> => {
    const now = await host.counts();
    const same = JSON.stringify(now) === JSON.stringify(last);
    last = now;
    return same;
  };
  await waitFor('what is held to settle', isSame, { timeoutMs: SETTLE_MS, intervalMs: 1000 });
  return host.counts();
}

/** Waits until exactly as much is held as before. @param select of what is held, what counts */
export async function returnsTo(
  host: Host,
  before: Counts,
  select: (counts: Counts) => Counts = (counts) => counts,
): Promise<void> {
  let found: Counts | undefined;
  const isSo = async (): Promise<boolean> => {
    found = select(await host.counts());
    return JSON.stringify(found) === JSON.stringify(before);
  };
  await waitFor('all that was held to be released', isSo, {
    timeoutMs: SETTLE_MS,
    intervalMs: 200,
    detail: () => `expected ${JSON.stringify(before)}\n   found ${JSON.stringify(found)}`,
  });
}

async function attachAll({ all }: LightGuests): Promise<void> {
  await Promise.all(all.map((guest) => guest.attach()));
  await Promise.all(all.map((guest) => guest.connected()));
}

async function detachAll({ all }: LightGuests): Promise<void> {
  await Promise.all(all.map((guest) => guest.detach()));
}

/** Milliseconds. */
async function timeOf(act: () => Promise<void>): Promise<number> {
  const begin = performance.now();
  await act();
  return performance.now() - begin;
}
