// SPDX-License-Identifier: LGPL-2.1-or-later
/** How long frames take from a player to a recorder on another machine; see test/e2e-tools/delay-probe.c. */
import { join } from 'node:path';
import readline from 'node:readline';

import { z } from 'zod';

import { thisMachine, type Machine } from '../host/machine.js';
import type { Place } from './e2e-play.js';
import { paths } from './paths.js';
import { OwnedProcess, type CommandResult } from './process.js';
import { within } from './wait.js';

const PROGRAM = join(paths.root, 'build/e2e-tools/delay-probe');
const CLOCK_PORT = 47_001;
const RATE = 48_000;
const LIMIT_MS = 60_000;
/** Frames from one that is judged to the next: a millisecond. */
const STEP = RATE / 1000;

/** First number, frames, CLOCK_MONOTONIC in usec. */
const Run = z.tuple([z.int(), z.int(), z.int()]);
type Run = z.infer<typeof Run>;
const Runs = z.object({ runs: z.array(Run) });
const Clock = z.object({ ahead_usec: z.int(), round_trip_usec: z.int() });

/** From writing to arrival, of a frame each millisecond. */
export interface Delays {
  /** Ascending; those that came. */
  usec: number[];
  /** Frames that were written and never came. */
  lostFrames: number;
}

/** By how much this machine's clock is ahead of another's, which reaches this one at that address; usec. */
export async function clockAhead(machine: Machine, ownAddress: string): Promise<number> {
  if (machine === thisMachine) return 0;
  const server = thisMachine.start('clock-server', PROGRAM, ['clock-server', String(CLOCK_PORT)], {
    pipe: { stdout: true },
  });
  try {
    await saysSomething(server);
    const program = await machine.provide(PROGRAM);
    const asked = await machine.run(program, ['clock', ownAddress, String(CLOCK_PORT)], {
      timeoutMs: LIMIT_MS,
    });
    return Clock.parse(outputOf(asked)).ahead_usec;
  } finally {
    await server.stop();
  }
}

/** Plays numbered frames in one place, and hears them in another, which is of this machine. */
export class DelayProbe {
  private constructor(
    private readonly recorder: OwnedProcess,
    private readonly recorded: Promise<Run[]>,
    private readonly played: Promise<Run[]>,
    private readonly aheadUsec: number,
  ) {}

  /** @param options.aheadUsec of `clockAhead` */
  static async start(
    from: Place,
    to: Place,
    options: { latencyMs: number; seconds: number; aheadUsec: number },
  ): Promise<DelayProbe> {
    const { latencyMs, seconds, aheadUsec } = options;
    const recorder = OwnedProcess.start(
      'delay-probe',
      PROGRAM,
      ['record', to.client.server, `${to.sink}.monitor`],
      { env: to.client.env, pipe: { stdout: true } },
    );
    try {
      const lines = await saysSomething(recorder);
      const recorded = new Promise<Run[]>((resolve, reject) => {
        lines.once('line', (line) => {
          try {
            resolve(Runs.parse(JSON.parse(line)).runs);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
        lines.once('close', () => {
          reject(new Error('the recorder of delay-probe ended without a result'));
        });
      });
      recorded.catch(() => undefined); // `end` throws it
      const { machine, server, env } = from.client;
      const program = await machine.provide(PROGRAM);
      const played = machine
        .run(program, ['play', server, from.sink, String(latencyMs), String(seconds)], {
          env,
          timeoutMs: seconds * 1000 + LIMIT_MS,
        })
        .then((result) => Runs.parse(outputOf(result)).runs);
      played.catch(() => undefined);
      return new DelayProbe(recorder, recorded, played, aheadUsec);
    } catch (error) {
      await recorder.stop();
      throw error;
    }
  }

  /** Waits for the player's end. @returns the delays of what was written from one time of playing to another, seconds */
  async end(fromSeconds: number, toSeconds: number): Promise<Delays> {
    const played = await this.played;
    const recorded = await within('the recorder to end', LIMIT_MS, this.recorded);
    const begin = played[0]?.[2] ?? 0;
    const judged = played.filter(([, , usec]) => {
      const seconds = (usec - begin) / 1_000_000;
      return fromSeconds <= seconds && seconds < toSeconds;
    });
    return delaysOf(judged, recorded, this.aheadUsec);
  }

  /** Both programs; harmless when they have ended. */
  async stop(): Promise<void> {
    await this.recorder.stop();
    await this.played.catch(() => undefined);
  }
}

export function delaysOf(played: readonly Run[], recorded: readonly Run[], aheadUsec: number): Delays {
  const arrived = timesOf(recorded);
  const usec: number[] = [];
  let lostFrames = 0;
  for (const [first, frames, written] of played) {
    for (let frame = first; frame < first + frames; frame += 1) {
      const at = arrived(frame);
      if (at === undefined) lostFrames += 1;
      else if (frame % STEP === 0) usec.push(at - written - aheadUsec);
    }
  }
  return { usec: usec.sort((a, b) => a - b), lostFrames };
}

/** When a frame was in one of the runs; ascending numbers only. */
function timesOf(runs: readonly Run[]): (frame: number) => number | undefined {
  let index = 0;
  return (frame) => {
    let run = runs[index];
    while (run !== undefined && run[0] + run[1] <= frame) run = runs[(index += 1)];
    return run !== undefined && run[0] <= frame ? run[2] : undefined;
  };
}

async function saysSomething(program: OwnedProcess): Promise<readline.Interface> {
  const lines = readline.createInterface({ input: program.stdout });
  const first = new Promise<void>((resolve) => {
    lines.once('line', () => {
      resolve();
    });
  });
  await within(`${program.name} to begin`, LIMIT_MS, first);
  return lines;
}

/** @throws Error with what the probe said */
function outputOf({ code, stdout, stderr }: CommandResult): unknown {
  if (code !== 0) throw new Error(stderr.trim());
  return JSON.parse(stdout);
}
