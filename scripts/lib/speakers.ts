// SPDX-License-Identifier: LGPL-2.1-or-later
import { pipeline } from 'node:stream/promises';

import { OwnedProcess, runCommand } from '../../test/lib/process.js';
import type { PulseClient, StreamFormat } from '../../test/lib/pulse.js';

/** Of each of the two hops: low enough to follow, high enough for a busy machine. */
const LATENCY_MS = 100;

/** @throws Error when the user has no sound server that answers */
export async function checkSpeakers(): Promise<void> {
  const result = await runCommand('pactl', ['info']);
  if (result.code !== 0) {
    throw new Error(
      `--speakers: your own sound server does not answer (${result.stderr.trim()}): start it, point PULSE_SERVER ` +
        'at it, or leave --speakers out',
    );
  }
}

/** Carries what a source of `from` hears to the user's own sound server, until it is stopped. */
export class SpeakerRelay {
  private readonly recorder: OwnedProcess;
  private readonly player: OwnedProcess;
  private readonly carried: Promise<void>;

  constructor(from: PulseClient, source: string, format: StreamFormat) {
    const args = [
      '--raw',
      `--format=${format.format}`,
      `--rate=${format.rate}`,
      `--channels=${format.channels}`,
      `--latency-msec=${LATENCY_MS}`,
    ];
    this.recorder = OwnedProcess.start(
      'parec for the speakers',
      'pacat',
      ['--record', `--device=${source}`, ...args],
      { env: from.env, pipe: { stdout: true } },
    );
    this.player = OwnedProcess.start(
      'pacat to the speakers',
      'pacat',
      ['--playback', '--client-name=xen-audio demo', ...args],
      { pipe: { stdin: true } },
    );
    // Either end may go first; what is then in flight is lost on purpose.
    this.carried = pipeline(this.recorder.stdout, this.player.stdin).catch(() => undefined);
  }

  async stop(): Promise<void> {
    await this.recorder.stop();
    await this.carried;
    await this.player.stop();
  }
}
