// SPDX-License-Identifier: LGPL-2.1-or-later
import type { z } from 'zod';
import { NODE_BYTES_MAX } from '../../schemas/primitives.js';
import {
  CardNodes,
  PcmNodes,
  StreamNodes,
  type CardConfig,
  type HwParams,
  type StreamConfig,
  type StreamTransport,
} from '../../schemas/sndif.js';
import { quoted } from '../util/text.js';

/** Texts of one directory's nodes; a node that is absent is left out. */
export type RawNodes = Readonly<Record<string, string>>;

/** A card's nodes as read in one transaction, unchecked. */
export interface RawCard {
  readonly path: string;
  readonly nodes: RawNodes;
  readonly pcms: readonly RawPcm[];
}

export interface RawPcm {
  readonly nodes: RawNodes;
  readonly streams: readonly RawNodes[];
}

/** Why a card is refused: which node, what it holds, what was expected. */
export interface NodeFault {
  readonly path: string;
  readonly value: string | undefined;
  readonly expected: string;
}

export type Parsed<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly fault: NodeFault };

export const describeFault = (fault: NodeFault): string =>
  `${fault.path}: found ${fault.value === undefined ? 'nothing' : quoted(fault.value)}, expected ${fault.expected}`;

/** Checks a whole card. The guest wrote it, so anything may stand there: the first fault is returned. */
export const tryParseCard = (raw: RawCard): Parsed<CardConfig> => {
  const card = tryParseLevel(CardNodes, raw.path, raw.nodes);
  if (!card.ok) return card;
  if (raw.pcms.length === 0) return refuse(`${raw.path}/0`, undefined, 'at least one PCM device');
  const streams: StreamConfig[] = [];
  for (const [pcm, rawPcm] of raw.pcms.entries()) {
    const parsed = tryParsePcm(`${raw.path}/${pcm}`, pcm, rawPcm, card.value);
    if (!parsed.ok) return parsed;
    streams.push(...parsed.value);
  }
  return {
    ok: true,
    value: {
      linuxQuirks: card.value.version === undefined,
      latency: card.value['feature-latency'],
      wakeup: card.value['feature-wakeup'],
      rewind: card.value['feature-rewind'],
      alive: card.value['feature-alive'],
      streams,
    },
  };
};

const tryParsePcm = (path: string, pcm: number, raw: RawPcm, card: HwParams): Parsed<StreamConfig[]> => {
  const level = tryParseLevel(PcmNodes, path, raw.nodes);
  if (!level.ok) return level;
  if (raw.streams.length === 0) return refuse(`${path}/0`, undefined, 'at least one stream');
  const streams: StreamConfig[] = [];
  for (const [stream, nodes] of raw.streams.entries()) {
    const parsed = tryParseLevel(StreamNodes, `${path}/${stream}`, nodes);
    if (!parsed.ok) return parsed;
    const transport = tryParseTransport(`${path}/${stream}`, parsed.value);
    if (!transport.ok) return transport;
    streams.push({
      pcm,
      stream,
      direction: parsed.value.type === 'p' ? 'playback' : 'capture',
      uniqueId: parsed.value['unique-id'],
      transport: transport.value,
      levels: [card, level.value, parsed.value],
    });
  }
  return { ok: true, value: streams };
};

const TRANSPORT_NODES = ['ring-ref', 'event-channel', 'evt-ring-ref', 'evt-event-channel'] as const;

/** All four nodes, or none: a stream the frontend leaves out. */
const tryParseTransport = (path: string, nodes: StreamNodes): Parsed<StreamTransport | undefined> => {
  const [ringRef, eventChannel, evtRingRef, evtEventChannel] = TRANSPORT_NODES.map((name) => nodes[name]);
  if (TRANSPORT_NODES.every((name) => nodes[name] === undefined)) return { ok: true, value: undefined };
  if (
    ringRef === undefined ||
    eventChannel === undefined ||
    evtRingRef === undefined ||
    evtEventChannel === undefined
  ) {
    const missing = TRANSPORT_NODES.find((name) => nodes[name] === undefined) ?? '';
    return refuse(
      `${path}/${missing}`,
      undefined,
      `a number, as the stream's other transport nodes are there`,
    );
  }
  if (ringRef === evtRingRef)
    return refuse(`${path}/evt-ring-ref`, String(evtRingRef), 'another page than ring-ref');
  if (eventChannel === evtEventChannel) {
    return refuse(`${path}/evt-event-channel`, String(evtEventChannel), 'another port than event-channel');
  }
  return { ok: true, value: { ringRef, eventChannel, evtRingRef, evtEventChannel } };
};

const tryParseLevel = <S extends z.ZodType<HwParams>>(
  schema: S,
  path: string,
  nodes: RawNodes,
): Parsed<z.infer<S>> => {
  for (const [name, text] of Object.entries(nodes)) {
    if (text.length > NODE_BYTES_MAX) {
      return refuse(`${path}/${name}`, text, `at most ${NODE_BYTES_MAX} octets`);
    }
  }
  const parsed = schema.safeParse(nodes);
  if (parsed.success) return checkChannels(path, nodes, parsed.data);
  const issue = parsed.error.issues[0];
  const name = String(issue?.path[0]);
  return refuse(`${path}/${name}`, nodes[name], issue?.message ?? 'a valid value');
};

const checkChannels = <T extends HwParams>(path: string, nodes: RawNodes, level: T): Parsed<T> => {
  const [min, max] = [level['channels-min'], level['channels-max']];
  return min !== undefined && max !== undefined && min > max
    ? refuse(`${path}/channels-min`, nodes['channels-min'], `at most channels-max, which is ${max}`)
    : { ok: true, value: level };
};

const refuse = (
  path: string,
  value: string | undefined,
  expected: string,
): { ok: false; fault: NodeFault } => ({
  ok: false,
  fault: { path, value, expected },
});
