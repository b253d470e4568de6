// SPDX-License-Identifier: LGPL-2.1-or-later
import { MIC_FEED, type Host } from '../../test/host/host.js';
import type { Guest } from '../../test/host/guest.js';
import { captureIs } from '../../test/lib/e2e-capture.js';
import { play, Recorder } from '../../test/lib/e2e-play.js';
import type { OwnedProcess } from '../../test/lib/process.js';
import type { StreamFormat } from '../../test/lib/pulse.js';
import { waitFor } from '../../test/lib/wait.js';
import { medianOf } from './median.js';
import { frameBytesOf } from './recording.js';

/** Of the player in dom0: more than a busy machine stalls for. */
const PLAYER_LATENCY_MS = 300;
const LATENCY_SAMPLE_MS = 500;

export interface RecordThrough {
  /** With two connected guests that have sources: the first may record. */
  host: Host;
  pcm: Buffer;
  format: StreamFormat;
  signal: AbortSignal;
  say: (text: string) => void;
}

export interface Recorded {
  /** What the guest that may record heard, from before the start to after the end. */
  heard: Buffer;
  /** What the other one heard. */
  unheard: Buffer;
  /** Median of the latency that the first guest's source reported. */
  captureLatencyMs: number | null;
}

/** Plays PCM into dom0's microphone while both guests record. */
export async function recordThrough({ host, pcm, format, signal, say }: RecordThrough): Promise<Recorded> {
  const [listener, other] = host.guests;
  if (listener === undefined || other === undefined) {
    throw new Error('the host has not two guests');
  }
  const recorders: Recorder[] = [];
  let player: OwnedProcess | undefined;
  try {
    for (const guest of [listener, other]) {
      const place = { client: guest.client, source: guest.source ?? '' };
      recorders.push(await Recorder.ofSource(place, format, guest.dir));
    }
    await captureIs(host, listener, { requested: '1', active: '1' });
    await captureIs(host, other, { requested: '1', active: '0' });
    const seconds = pcm.length / frameBytesOf(format) / format.rate;
    say(`${seconds.toFixed(0)} s into dom0's microphone: guest1 may listen, guest2 may not`);
    const feed = { client: host.client, sink: MIC_FEED };
    player = await play(feed, pcm, format, host.dir, { latencyMs: PLAYER_LATENCY_MS });
    const captureLatencyMs = await follow(listener, player, seconds, signal);
    const [heard, unheard] = await Promise.all(recorders.map((recorder) => recorder.finish(1)));
    return { heard: heard ?? Buffer.alloc(0), unheard: unheard ?? Buffer.alloc(0), captureLatencyMs };
  } finally {
    await player?.stop();
    await Promise.all(recorders.map((recorder) => recorder.stop()));
  }
}

/** Waits for the player's end. @returns the median of what the guest's source reported meanwhile */
async function follow(
  guest: Guest,
  player: OwnedProcess,
  seconds: number,
  signal: AbortSignal,
): Promise<number | null> {
  const latencies: number[] = [];
  const ended = async (): Promise<boolean> => {
    const [stream] = await guest.client.list('source-outputs');
    if (stream !== undefined) {
      latencies.push(stream.source_latency_usec / 1000);
    }
    return !player.running;
  };
  await waitFor('the recording to be heard', ended, {
    timeoutMs: (seconds + 30) * 1000,
    intervalMs: LATENCY_SAMPLE_MS,
    signal,
    detail: () => [player.logTail(), guest.logTail()].join('\n'),
  });
  await player.succeeded(1000);
  return medianOf(latencies);
}
