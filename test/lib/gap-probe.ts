// SPDX-License-Identifier: LGPL-2.1-or-later
/** A player and a recorder that count the gaps between them for as long as they run, in constant memory. */
import { join } from 'node:path';
import readline from 'node:readline';

import { z } from 'zod';

import { paths } from './paths.js';
import { OwnedProcess } from './process.js';
import type { PulseClient } from './pulse.js';
import { waitFor } from './wait.js';

const PROGRAM = join(paths.root, 'build', 'e2e-tools', 'gap-probe');

/** Frames; places in seconds since its first frame. */
const GapCounts = z.object({
  frames: z.int(),
  gaps: z.int(),
  lost: z.int(),
  inserted: z.int(),
  places: z.array(z.number()),
});
export type GapCounts = z.infer<typeof GapCounts>;

export class GapProbe {
  /** As of the last second. */
  counts: GapCounts = { frames: 0, gaps: 0, lost: 0, inserted: 0, places: [] };

  private constructor(
    readonly name: string,
    private readonly process: OwnedProcess,
  ) {
    readline.createInterface({ input: process.stdout }).on('line', (line) => {
      this.counts = GapCounts.parse(JSON.parse(line));
    });
  }

  /** Plays into a sink of one server, and hears the sink of the other that it comes out of. */
  static start(
    name: string,
    from: { client: PulseClient; sink: string },
    to: { client: PulseClient; sink: string },
    options: { latencyMs: number; logFile: string },
  ): GapProbe {
    const { latencyMs, logFile } = options;
    const places = [from.client.server, from.sink, to.client.server, `${to.sink}.monitor`];
    const program = OwnedProcess.start(`gap-probe ${name}`, PROGRAM, [...places, String(latencyMs)], {
      env: to.client.env,
      logFile,
      pipe: { stdin: true, stdout: true },
    });
    return new GapProbe(name, program);
  }

  /** Resolves once it has heard that many frames in their order. */
  async hears(frames: number): Promise<void> {
    await waitFor(`${this.name} to be heard`, () => this.counts.frames >= frames || !this.process.running, {
      timeoutMs: 30_000,
      detail: () => this.process.logTail(),
    });
    if (!this.process.running) throw new Error(`${this.name} ended\n${this.process.logTail()}`);
  }

  async stop(): Promise<void> {
    await this.process.stop();
  }
}
