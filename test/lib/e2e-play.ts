// SPDX-License-Identifier: LGPL-2.1-or-later
/** Plays a known signal on one sound server while recording the monitor of a sink on another. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import type { Guest } from '../host/guest.js';
import type { Host } from '../host/host.js';
import { mayUseRealtime } from '../host/machine.js';
import { comparePcm, type PcmComparison } from './compare-pcm.js';
import { frameBytesOf, silenceOf, silentFrames } from './e2e-signals.js';
import type { OwnedProcess } from './process.js';
import type { PulseClient, StreamFormat } from './pulse.js';
import { waitFor } from './wait.js';

/** What a recorder asks of the monitor, and so of the sink. */
const RECORDER_LATENCY_MS = 50;
/** A sink that nobody listens to renders seconds ahead; with a recorder it comes down to this. */
const SETTLED_LATENCY_USEC = 100_000;

/** A server with the sink that is played to, or whose monitor is recorded. */
export interface Place {
  client: PulseClient;
  sink: string;
}

/** A server with the source that is recorded. */
export interface SourcePlace {
  client: PulseClient;
  source: string;
}

export interface PlayOptions {
  /** Latency asked by the player; default: what the server gives. */
  latencyMs?: number;
  /** Channel positions, as PulseAudio spells them; default: the server's for that number of channels. */
  channelMap?: string;
  /**
   * Silence sent before: what a sink has rendered ahead when a stream starts is rewound, and a recorder of its monitor,
   * who has had that already, misses as much. Default 1 s.
   */
  leadInSeconds?: number;
}

export interface RecorderOptions {
  /** Latency asked of the source; default: little enough to miss little when a sink rewinds. */
  latencyMs?: number;
  channelMap?: string;
}

/** A recording of what a sink plays, or of a source; its file is of this machine, wherever the source is. */
export class Recorder {
  private constructor(
    private readonly process: OwnedProcess,
    private readonly file: string,
    private readonly format: StreamFormat,
  ) {}

  /**
   * Resolves when it records a sink's monitor, and, unless `settle` is false, when the silence that the sink had
   * rendered ahead has passed.
   *
   * @param dir where its file goes, named after the monitor
   */
  static async start(
    place: Place,
    format: StreamFormat,
    dir: string,
    options: RecorderOptions & { settle?: boolean } = {},
  ): Promise<Recorder> {
    const { settle = true, ...asked } = options;
    const monitor = { client: place.client, source: `${place.sink}.monitor` };
    const recorder = await Recorder.ofSource(monitor, format, dir, asked);
    try {
      if (settle) {
        await settled(place);
      }
    } catch (error) {
      await recorder.stop();
      throw error;
    }
    return recorder;
  }

  /** Resolves when it records a source. @param dir as for `start` */
  static async ofSource(
    { client, source }: SourcePlace,
    format: StreamFormat,
    dir: string,
    options: RecorderOptions = {},
  ): Promise<Recorder> {
    const file = join(dir, `${source}.recorded`);
    const args = ['--record', ...streamArgs(source, format, { latencyMs: RECORDER_LATENCY_MS, ...options })];
    return Recorder.ofProcess(
      await startPacat(`recorder of ${source}`, client, args, dir, file),
      file,
      format,
    );
  }

  /** Of a program that has been started, and whose output is that file; resolves when it records, or ends it. */
  static async ofProcess(process: OwnedProcess, file: string, format: StreamFormat): Promise<Recorder> {
    const recorder = new Recorder(process, file, format);
    try {
      await recorder.grows(1);
    } catch (error) {
      await recorder.stop();
      throw error;
    }
    return recorder;
  }

  /** What has been recorded so far. */
  heard(): Buffer {
    return readFileSync(this.file);
  }

  /** Octets recorded so far. */
  get bytes(): number {
    return sizeOf(this.file);
  }

  /** Goes on for a while after now, ends, and yields everything. */
  async finish(tailSeconds = 0.5): Promise<Buffer> {
    const tail = Math.ceil(tailSeconds * this.format.rate) * frameBytesOf(this.format);
    await this.grows(this.bytes + tail);
    await this.stop();
    return this.heard();
  }

  /** Harmless when it has ended. */
  async stop(): Promise<void> {
    await this.process.stop();
  }

  /** Resolves when it has that many octets. @throws Error when it has ended before */
  async grows(bytes: number): Promise<void> {
    const enough = (): boolean => !this.process.running || this.bytes >= bytes;
    await waitFor(`${this.file} to grow to ${bytes} octets`, enough, {
      timeoutMs: 20_000,
      detail: () => this.process.logTail(),
    });
    if (!this.process.running) {
      throw new Error(`${this.process.name} ended\n${this.process.logTail()}`);
    }
  }
}

/** Resolves when a sink that is recorded from renders no further ahead than the recorder asked. */
async function settled({ client, sink }: Place): Promise<void> {
  const isSettled = async (): Promise<boolean> =>
    ((await client.sink(sink)).latency?.actual ?? 0) <= SETTLED_LATENCY_USEC;
  await waitFor(`${sink} to come down to the recorder's latency`, isSettled);
}

/** Starts to play PCM to its end, drain included; the caller owns the process. */
export async function play(
  place: Place,
  pcm: Buffer,
  format: StreamFormat,
  dir: string,
  options: PlayOptions = {},
): Promise<OwnedProcess> {
  const file = join(dir, `${place.client.server.replaceAll(/\W/g, '_')}-${place.sink}.played`);
  const lead = silentFrames(format, options.leadInSeconds ?? 1);
  await place.client.machine.write(file, Buffer.concat([lead, pcm]));
  const args = ['--playback', ...streamArgs(place.sink, format, options), file];
  return startPacat(`player to ${place.sink}`, place.client, args, dir);
}

/** A way from a player to a recorder: format and channel positions may differ at both ends. */
export interface Passage {
  from: Place;
  to: Place;
  pcm: Buffer;
  format: StreamFormat;
  /** Default: `format`. */
  recordedFormat?: StreamFormat;
  recordedChannelMap?: string;
  dir: string;
  options?: PlayOptions;
  /** Runs while the lead-in is played, once the player has started. */
  whilePlaying?: () => Promise<void>;
}

/** Plays the whole signal; resolves to what the recorder heard, from before the start to after the end. */
export async function playAndRecord(passage: Passage): Promise<Buffer> {
  const { from, to, pcm, format, dir, options } = passage;
  const recordedFormat = passage.recordedFormat ?? format;
  const channelMap = passage.recordedChannelMap ?? options?.channelMap;
  const recorder = await Recorder.start(
    to,
    recordedFormat,
    dir,
    channelMap === undefined ? {} : { channelMap },
  );
  const player = await play(from, pcm, format, dir, options);
  try {
    await passage.whilePlaying?.();
    const seconds = pcm.length / frameBytesOf(format) / format.rate;
    await player.succeeded((seconds + 30) * 1000);
    return await recorder.finish();
  } finally {
    await player.stop();
    await recorder.stop();
  }
}

/** What became of a signal in a recording of the same format. */
export function compare(sent: Buffer, received: Buffer, format: StreamFormat): PcmComparison {
  return comparePcm(sent, received, { frameBytes: frameBytesOf(format), silence: silenceOf(format) });
}

/** What is needed of a sink input; those of modules have no client. */
const SinkInputs = z.array(
  z.looseObject({ index: z.number(), properties: z.record(z.string(), z.string()) }),
);

/** Moves a guest's stream to a sink of dom0's, once it is open. */
export async function routeTo(host: Host, guest: Guest, sink: string): Promise<void> {
  const domid = String(guest.domain.domid);
  await waitFor(
    `the stream of ${guest.domain.name} in dom0`,
    async () => {
      const text = await host.client.pactl('-f', 'json', 'list', 'sink-inputs');
      const input = SinkInputs.parse(JSON.parse(text)).find((i) => i.properties['xen.guest.domid'] === domid);
      // Fails for a stream that has just been closed, as an idle one is: there will be another.
      if (input !== undefined) await host.client.pactl('move-sink-input', String(input.index), sink);
      return input !== undefined;
    },
    { detail: () => guest.logTail() },
  );
}

export interface Counters {
  underruns: number;
  lateBytes: number;
}

/** What the backend has counted in a guest's stream, none before it was open. @throws Error when there is no such stream */
export async function countersOf(host: Host, guest: Guest): Promise<Counters> {
  const [state, underruns, lateBytes] = await Promise.all(
    ['state', 'underruns', 'late-bytes'].map((node) => host.streamNode(guest, node)),
  );
  if (state === undefined) {
    throw new Error(`no backend serves a stream of ${guest.domain.name}`);
  }
  return { underruns: Number(underruns ?? 0), lateBytes: Number(lateBytes ?? 0) };
}

/**
 * Players get realtime priority where we may give it, below the servers' own 5: what a test measures is the servers, not
 * a player that did not get its turn.
 */
async function startPacat(
  name: string,
  client: PulseClient,
  args: string[],
  dir: string,
  outputFile?: string,
): Promise<OwnedProcess> {
  const { machine, env } = client;
  const output = outputFile === undefined ? {} : { outputFile };
  const options = { env, logFile: join(dir, 'clients.log'), ...output };
  return (await mayUseRealtime(machine))
    ? machine.start(name, 'chrt', ['--rr', '4', 'pacat', ...args], options)
    : machine.start(name, 'pacat', args, options);
}

function streamArgs(
  device: string,
  format: StreamFormat,
  options: { latencyMs?: number; channelMap?: string },
): string[] {
  const { latencyMs, channelMap } = options;
  return [
    `--device=${device}`,
    '--raw',
    `--format=${format.format}`,
    `--rate=${format.rate}`,
    `--channels=${format.channels}`,
    ...(latencyMs === undefined ? [] : [`--latency-msec=${latencyMs}`]),
    ...(channelMap === undefined ? [] : [`--channel-map=${channelMap}`]),
  ];
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
