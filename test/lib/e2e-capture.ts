// SPDX-License-Identifier: LGPL-2.1-or-later
/** Speaks into dom0's microphone while recording in a guest. */
import { z } from 'zod';

import type { Guest } from '../host/guest.js';
import { MIC_FEED, type Host } from '../host/host.js';
import type { PcmComparison } from './compare-pcm.js';
import { compare, play, Recorder } from './e2e-play.js';
import { frameBytesOf } from './e2e-signals.js';
import type { OwnedProcess } from './process.js';
import type { StreamFormat } from './pulse.js';
import { waitFor } from './wait.js';

/** Much more than a busy machine stalls for. */
const PLAYER_LATENCY_MS = 300;
/** Time to route the guest's stream before the first sound. */
const LEAD_IN_SECONDS = 1;

/** A way from a player in dom0, over a sink whose monitor is the microphone, to a recorder in a guest. */
export interface CapturePassage {
  host: Host;
  /** Has a source, and may record. */
  guest: Guest;
  /** The sink to speak into. */
  feed: string;
  /** The source to move the guest's stream to; default: it stays where it is. */
  route?: string;
  pcm: Buffer;
  format: StreamFormat;
  channelMap?: string;
  /** Default: `format`. */
  recordedFormat?: StreamFormat;
  recordedChannelMap?: string;
}

export interface Captured {
  /** What the recorder in the guest heard, from before the start to after the end. */
  heard: Buffer;
  /** What a recorder in dom0 heard of the same microphone, in the format it was spoken in. */
  own: Buffer;
}

/** Plays the whole signal into dom0's microphone; resolves to what was heard of it in the guest, and in dom0. */
export async function captureAndRecord(passage: CapturePassage): Promise<Captured> {
  const { guest, format, channelMap, recordedFormat = format } = passage;
  const recordedMap = passage.recordedChannelMap ?? channelMap;
  const place = { client: guest.client, source: guest.source ?? '' };
  return captureWith(passage, () =>
    Recorder.ofSource(place, recordedFormat, guest.dir, withMap(recordedMap)),
  );
}

/** The same with another recorder in the guest, which it starts and stops. */
export async function captureWith(
  passage: CapturePassage,
  startRecorder: () => Promise<Recorder>,
): Promise<Captured> {
  const { host, guest, feed, pcm, format, channelMap } = passage;
  const here = { client: host.client, sink: feed };
  const owned: { stop(): Promise<unknown> }[] = [];
  try {
    const recorder = await startRecorder();
    owned.push(recorder);
    await waitFor(
      'the guest to record in dom0',
      async () => (await sourceOutputsOf(host, guest)).length > 0,
      {
        detail: () => guest.logTail(),
      },
    );
    if (passage.route !== undefined) await routeSourceTo(host, guest, passage.route);
    const own = await Recorder.start(here, format, host.dir, withMap(channelMap));
    owned.push(own);
    const options = { latencyMs: PLAYER_LATENCY_MS, leadInSeconds: LEAD_IN_SECONDS, ...withMap(channelMap) };
    const player = await play(here, pcm, format, host.dir, options);
    owned.push(player);
    await player.succeeded((secondsOf(pcm, format) + 30) * 1000);
    const [heard, ownHeard] = await Promise.all([recorder.finish(), own.finish()]);
    return { heard, own: ownHeard };
  } finally {
    await Promise.all(owned.map((process) => process.stop()));
  }
}

const withMap = (channelMap: string | undefined): { channelMap?: string } =>
  channelMap === undefined ? {} : { channelMap };

/** What became of a signal on its way to the guest, beside what dom0's own recorder had of it. */
export interface Verdict {
  guest: PcmComparison;
  own: PcmComparison;
  /** The guest lost nothing, and got nothing else, that dom0's own recorder had right. */
  asGood: boolean;
}

/** For a recorder of the same format as the speaker's. */
export function judge(pcm: Buffer, { heard, own }: Captured, format: StreamFormat): Verdict {
  const verdict = { guest: compare(pcm, heard, format), own: compare(pcm, own, format) };
  const faults = ['lostFrames', 'insertedFrames', 'differingFrames', 'gaps'] as const;
  return { ...verdict, asGood: faults.every((fault) => verdict.guest[fault] <= verdict.own[fault]) };
}

/** What is needed of a source output; those of modules have no client. */
const SourceOutputs = z.array(
  z.looseObject({ index: z.number(), source: z.number(), properties: z.record(z.string(), z.string()) }),
);
export type SourceOutput = z.infer<typeof SourceOutputs>[number];

/** What records in dom0 for a guest: none while it does not, or may not; of all guests when none is given. */
export async function sourceOutputsOf(host: Host, guest?: Guest): Promise<SourceOutput[]> {
  const text = await host.client.pactl('-f', 'json', 'list', 'source-outputs');
  return SourceOutputs.parse(JSON.parse(text)).filter(({ properties }) => {
    const owner = properties['xen.guest.domid'];
    return owner !== undefined && (guest === undefined || owner === String(guest.domain.domid));
  });
}

/** Lets a guest's stream, which is open, record another source of dom0's. */
export async function routeSourceTo(host: Host, guest: Guest, source: string): Promise<void> {
  const [output] = await sourceOutputsOf(host, guest);
  await host.client.pactl('move-source-output', String(output?.index), source);
}

/**
 * Gives dom0 another microphone: a sink to speak into, and a source. A guest's stream goes to no other monitor than the
 * one in the settings, so it is a source of its own that hears what the monitor does.
 *
 * @param spec arguments of the sink
 * @returns the source's name
 */
export async function addMicrophone(host: Host, feed: string, spec = ''): Promise<string> {
  const source = `${feed}_mic`;
  await host.client.loadModule('module-null-sink', `sink_name=${feed} ${spec}`.trimEnd());
  await host.client.loadModule('module-remap-source', `source_name=${source} master=${feed}.monitor`);
  return source;
}

/** Speaks into dom0's microphone; the caller owns the process. */
export function speak(host: Host, pcm: Buffer, format: StreamFormat, feed = MIC_FEED): Promise<OwnedProcess> {
  return play({ client: host.client, sink: feed }, pcm, format, host.dir, { latencyMs: PLAYER_LATENCY_MS });
}

/** Waits for what a guest's capture stream says of itself, such as `active` being 1. */
export async function captureIs(
  host: Host,
  guest: Guest,
  wanted: Readonly<Record<string, string>>,
): Promise<void> {
  let found: Record<string, string | undefined> = {};
  const isSo = async (): Promise<boolean> => {
    const entries = Object.keys(wanted).map(async (node) => [node, await host.captureNode(guest, node)]);
    found = Object.fromEntries(await Promise.all(entries)) as typeof found;
    return Object.entries(wanted).every(([node, value]) => found[node] === value);
  };
  await waitFor(`the capture stream of ${guest.domain.name} to say ${JSON.stringify(wanted)}`, isSo, {
    timeoutMs: 25_000,
    detail: () => [`it says ${JSON.stringify(found)}`, guest.logTail()].join('\n'),
  });
}

const secondsOf = (pcm: Buffer, format: StreamFormat): number =>
  pcm.length / frameBytesOf(format) / format.rate;
