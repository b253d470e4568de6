// SPDX-License-Identifier: LGPL-2.1-or-later
/** A host with two guests: one has things done to it, the other must notice nothing. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import type { Guest } from '../host/guest.js';
import { Host, type HostOptions } from '../host/host.js';
import { thisMachine } from '../host/machine.js';
import type { Counts } from '../host/xen.js';
import { Bystander, LATENCY_MS } from './e2e-lifecycle-bystander.js';
import { FORMAT } from './e2e-lifecycle-ear.js';
import { noise, silentFrames } from './e2e-signals.js';
import type { OwnedProcess } from './process.js';
import { waitFor } from './wait.js';

/** What a killed frontend of one stream has published: rings, channels, version, features. Its successor takes them away. */
export const LEFT_BEHIND_NODES = 9;
/** Longer than any test plays. */
const NOISE_SECONDS = 120;
/** Time to route a stream before its first sound. */
const LEAD_IN_SECONDS = 2;
/** Idle streams are closed after 5 s, dead processes found within 5 s, each followed by work of both sides. */
const SETTLE_MS = 25_000;

export class TwoGuests {
  private readonly players: OwnedProcess[] = [];

  private constructor(
    readonly host: Host,
    readonly subject: Guest,
    readonly bystander: Bystander,
    readonly noiseFile: string,
    readonly pcm: Buffer,
  ) {}

  /** Two guests with their PulseAudio: the second's sink is loaded, the first's is not. */
  static async start(options: HostOptions = {}): Promise<TwoGuests> {
    const host = await Host.start(options);
    try {
      const subject = await host.addGuest({ name: 'subject' });
      const other = await host.addGuest({ name: 'bystander' });
      const pcm = noise(FORMAT, NOISE_SECONDS);
      const noiseFile = join(host.dir, 'noise');
      for (const machine of [thisMachine, subject.domain.machine, other.domain.machine]) {
        await machine.write(noiseFile, Buffer.concat([silentFrames(FORMAT, LEAD_IN_SECONDS), pcm]));
      }
      await other.loadSink();
      await other.connected();
      return new TwoGuests(host, subject, await Bystander.create(host, other, noiseFile), noiseFile, pcm);
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.endPlayers();
    await this.bystander.stop();
    await this.host.stop();
  }

  /** Plays noise in the subject until it is told otherwise, or a sink takes no more. */
  play(latencyMs = LATENCY_MS): OwnedProcess {
    const { client, dir, sink } = this.subject;
    assert.ok(sink !== null, 'the subject has a sink');
    const player = client.play(sink, this.noiseFile, FORMAT, { latencyMs, logFile: join(dir, 'pacat.log') });
    this.players.push(player);
    return player;
  }

  /** Loads the subject's sink and waits until it is connected. @returns the module's index */
  async loadSink(args = ''): Promise<number> {
    const index = await this.subject.loadSink(args);
    await this.subject.connected();
    return index;
  }

  async endPlayers(): Promise<void> {
    await Promise.all(this.players.splice(0).map((player) => player.stop()));
  }

  /** Does something while the bystander plays, and sees to it that the bystander has not noticed. */
  async undisturbed(act: () => Promise<void>): Promise<void> {
    await this.bystander.play(this.pcm, async () => {
      await act();
    });
    await this.endPlayers();
  }

  /** Plays once, so that every node there will ever be is there, and yields the counts once all is idle again. */
  async countsAfterPlaying(): Promise<Counts> {
    await this.playsAgain();
    return this.idleCounts();
  }

  /** What is held once no stream is open. */
  async idleCounts(): Promise<Counts> {
    await waitFor('no stream to be open in dom0', async () => (await sinkInputsOf(this.host)).length === 0, {
      timeoutMs: SETTLE_MS,
    });
    return this.host.counts();
  }

  /** A new player of the subject is heard in dom0. */
  async playsAgain(): Promise<void> {
    this.play();
    await isPlaying(this.host, this.subject);
    await this.endPlayers();
  }

  /** Waits until exactly as much is held as expected: nothing has leaked. */
  async holds(expected: Counts): Promise<void> {
    let found: Counts | undefined;
    const isAsExpected = async (): Promise<boolean> => {
      found = await this.host.counts();
      return JSON.stringify(found) === JSON.stringify(expected);
    };
    await waitFor('all that was held to be released', isAsExpected, {
      timeoutMs: SETTLE_MS,
      detail: () => `expected ${JSON.stringify(expected)}\n   found ${JSON.stringify(found)}`,
    });
  }
}

/** Of sink inputs, what those without a client have too. */
const SinkInputs = z.array(
  z.looseObject({ index: z.number(), sink: z.number(), properties: z.record(z.string(), z.string()) }),
);
export type SinkInput = z.infer<typeof SinkInputs>[number];

/** All streams that dom0 plays. */
export async function sinkInputs(host: Host): Promise<SinkInput[]> {
  return SinkInputs.parse(JSON.parse(await host.client.pactl('-f', 'json', 'list', 'sink-inputs')));
}

/** The streams of a guest that are open in dom0; of all guests when none is given. */
export async function sinkInputsOf(host: Host, guest?: Guest): Promise<SinkInput[]> {
  const domid = guest?.domain.domid.toString();
  return (await sinkInputs(host)).filter(({ properties }) => {
    const owner = properties['xen.guest.domid'];
    return owner !== undefined && (domid === undefined || owner === domid);
  });
}

/** Waits until the backend says that a guest's stream plays, and the stream's time goes on. */
export async function isPlaying(host: Host, guest: Guest): Promise<void> {
  const name = guest.domain.name;
  await waitFor(
    `the stream of ${name} to play in dom0`,
    async () => (await host.streamNode(guest, 'state')) === 'playing',
    { timeoutMs: 25_000, detail: () => guest.logTail() },
  );
}

/** The backend modules in dom0 that serve a guest, by their index. */
export async function backendModulesOf(host: Host, guest: Guest): Promise<number[]> {
  const domid = new RegExp(`(?:^|\\s)domid="?${guest.domain.domid}(?:"|\\s)`);
  const output = await host.client.pactl('list', 'short', 'modules');
  return output
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([, name, argument]) => name === 'module-xen-backend' && domid.test(argument ?? ''))
    .map(([index]) => Number(index));
}

/** Plays silence in a guest to its end. @returns the milliseconds it took, with start and end of the program */
export async function playSilence(guest: Guest, seconds: number): Promise<number> {
  const file = join(guest.dir, 'silence');
  await guest.domain.machine.write(file, silentFrames(FORMAT, seconds));
  const begin = performance.now();
  const player = guest.client.play(guest.sink ?? '', file, FORMAT, { logFile: join(guest.dir, 'pacat.log') });
  try {
    await player.succeeded((seconds + 20) * 1000);
  } finally {
    await player.stop();
  }
  return performance.now() - begin;
}

/** What a log says from now on; it need not exist yet. */
export function logFrom(file: string): () => string {
  const octets = (): Buffer => (existsSync(file) ? readFileSync(file) : Buffer.alloc(0));
  const { length } = octets();
  return () => octets().subarray(length).toString();
}
