// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { SPEAKERS, type Host } from '../../test/host/host.js';
import type { Guest } from '../../test/host/guest.js';
import type { OwnedProcess } from '../../test/lib/process.js';
import type { StreamFormat } from '../../test/lib/pulse.js';
import { waitFor } from '../../test/lib/wait.js';
import { medianOf } from './median.js';
import { frameBytesOf } from './recording.js';
import { SpeakerRelay } from './speakers.js';

/** What dom0's sink renders ahead, and the recorder gets at a time. */
const RECORDER_LATENCY_MS = 50;
/**
 * Silence played before. A sink that starts to play something new rewinds what it had rendered ahead, and a recorder
 * of its monitor, who has heard that already, misses as much of the new sound.
 */
const LEAD_IN_SECONDS = 1;
/** Recorded after the player's end. */
const TAIL_SECONDS = 1;
const LATENCY_SAMPLE_MS = 500;

export interface PlayThrough {
  /** With one connected guest. */
  host: Host;
  pcmFile: string;
  format: StreamFormat;
  workDir: string;
  speakers: boolean;
  signal: AbortSignal;
  say: (text: string) => void;
}

export interface Played {
  /** What dom0's sink played, from before the start to after the end. */
  received: Buffer;
  /** Median of the latency that the guest's sink reported. */
  latencyMs: number | null;
  underruns: number | null;
}

/** Plays PCM in the first guest, to its last frame, while recording what dom0's loudspeakers get. */
export async function playThrough(options: PlayThrough): Promise<Played> {
  const { host, format, workDir, signal } = options;
  const [guest] = host.guests;
  if (guest?.sink == null) {
    throw new Error('the guest has no sink');
  }
  const file = join(workDir, 'received.pcm');
  const monitor = `${SPEAKERS}.monitor`;
  const logFile = join(workDir, 'clients.log');
  const recorder = host.client.record(monitor, file, format, { logFile, latencyMs: RECORDER_LATENCY_MS });
  const relay = options.speakers ? new SpeakerRelay(host.client, monitor, format) : undefined;
  const owned: OwnedProcess[] = [recorder];
  try {
    await grows(file, recorder, 1, signal);
    const player = guest.client.play(guest.sink, await withLeadIn(options, guest), format, { logFile });
    owned.push(player);
    const { latencyMs, underruns } = await follow(options, guest, player);
    await grows(file, recorder, sizeOf(file) + TAIL_SECONDS * format.rate * frameBytesOf(format), signal);
    await recorder.stop();
    return { received: readFileSync(file), latencyMs, underruns };
  } finally {
    await Promise.all(owned.map((process) => process.stop()));
    await relay?.stop();
  }
}

/** @returns the file in the guest that is played */
async function withLeadIn({ pcmFile, format }: PlayThrough, guest: Guest): Promise<string> {
  const file = join(guest.dir, 'played.pcm');
  const leadIn = Buffer.alloc(LEAD_IN_SECONDS * format.rate * frameBytesOf(format));
  await guest.domain.machine.write(file, Buffer.concat([leadIn, readFileSync(pcmFile)]));
  return file;
}

/** Waits for the player's end, reading latency and underruns as it plays. */
async function follow(
  options: PlayThrough,
  guest: Guest,
  player: OwnedProcess,
): Promise<Omit<Played, 'received'>> {
  const { host, pcmFile, format, signal, say } = options;
  const seconds = sizeOf(pcmFile) / frameBytesOf(format) / format.rate;
  const latencies: number[] = [];
  let underruns: number | null = null;
  say(`${seconds.toFixed(0)} s of ${format.format} at ${format.rate} Hz`);
  const ended = async (): Promise<boolean> => {
    if (!player.running) {
      return true;
    }
    const [stream] = await guest.client.list('sink-inputs');
    if (stream !== undefined && stream.sink_latency_usec > 0) {
      latencies.push(stream.sink_latency_usec / 1000);
    }
    underruns = numberOf(await host.streamNode(guest, 'underruns')) ?? underruns;
    return false;
  };
  await waitFor('the recording to be played', ended, {
    timeoutMs: (seconds + 30) * 1000,
    intervalMs: LATENCY_SAMPLE_MS,
    signal,
    detail: () => [player.logTail(), guest.logTail()].join('\n'),
  });
  await player.succeeded(1000);
  return { latencyMs: medianOf(latencies), underruns };
}

async function grows(
  file: string,
  recorder: OwnedProcess,
  bytes: number,
  signal: AbortSignal,
): Promise<void> {
  const enough = (): boolean => !recorder.running || sizeOf(file) >= bytes;
  await waitFor(`the recording of dom0's sound to grow to ${bytes} octets`, enough, {
    timeoutMs: 20_000,
    signal,
    detail: () => recorder.logTail(),
  });
  if (!recorder.running) {
    throw new Error(`the recorder ended\n${recorder.logTail()}`);
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

function numberOf(text: string | undefined): number | null {
  return text === undefined || !/^\d+$/.test(text) ? null : Number(text);
}
