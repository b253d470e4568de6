// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';
import {
  BufferBytes,
  ChannelCount,
  decimal,
  EvtchnPort,
  FeatureFlag,
  GrantRef,
  NODE_BYTES_MAX,
  SampleFormatList,
  SampleRateList,
} from './primitives.js';

/** The version of sndif we speak (`XENSND_PROTOCOL_VERSION`). */
export const SNDIF_VERSION = 2;

/** Extensions of docs/protocol.md, each a `feature-…` node. */
export const FEATURES = ['feature-latency', 'feature-wakeup', 'feature-rewind', 'feature-alive'] as const;

/** Nodes that card, PCM device and stream share: each level may narrow what it inherits. */
export const HwParams = z.object({
  'sample-rates': SampleRateList.optional(),
  'sample-formats': SampleFormatList.optional(),
  'channels-min': ChannelCount.optional(),
  'channels-max': ChannelCount.optional(),
  'buffer-size': BufferBytes.optional(),
});
export type HwParams = z.infer<typeof HwParams>;

/** The card's own level. */
export const CardNodes = HwParams.extend({
  version: decimal('version', SNDIF_VERSION, SNDIF_VERSION).optional(),
  'feature-latency': FeatureFlag.default(false),
  'feature-wakeup': FeatureFlag.default(false),
  'feature-rewind': FeatureFlag.default(false),
  'feature-alive': FeatureFlag.default(false),
});
export type CardNodes = z.infer<typeof CardNodes>;

/** The level of a PCM device. */
export const PcmNodes = HwParams;

/** The level of a stream; whether the four transport nodes are complete is checked by `tryParseCard`. */
export const StreamNodes = HwParams.extend({
  type: z.enum(['p', 'c'], { error: 'p (playback) or c (capture)' }),
  'unique-id': z.string().max(NODE_BYTES_MAX).optional(),
  'ring-ref': GrantRef.optional(),
  'event-channel': EvtchnPort.optional(),
  'evt-ring-ref': GrantRef.optional(),
  'evt-event-channel': EvtchnPort.optional(),
});
export type StreamNodes = z.infer<typeof StreamNodes>;

/** Request ring and event page of one stream, as its frontend published them. */
export interface StreamTransport {
  readonly ringRef: number;
  readonly eventChannel: number;
  readonly evtRingRef: number;
  readonly evtEventChannel: number;
}

/** One stream of a card. */
export interface StreamConfig {
  readonly pcm: number;
  readonly stream: number;
  readonly direction: 'playback' | 'capture';
  /** A label the guest may write; never used to choose anything. */
  readonly uniqueId: string | undefined;
  /** Absent when the frontend leaves the stream out. */
  readonly transport: StreamTransport | undefined;
  /** Card, PCM device, stream: the levels that narrow what the stream may do. */
  readonly levels: readonly HwParams[];
}

/** A whole card as its frontend published it. */
export interface CardConfig {
  /** A frontend without `version` is Linux's driver, or has its quirks. */
  readonly linuxQuirks: boolean;
  readonly latency: boolean;
  readonly wakeup: boolean;
  readonly rewind: boolean;
  readonly alive: boolean;
  readonly streams: readonly StreamConfig[];
}

/** Names of the nodes to read on each level. */
export const CARD_NODE_NAMES = Object.keys(CardNodes.shape);
export const PCM_NODE_NAMES = Object.keys(PcmNodes.shape);
export const STREAM_NODE_NAMES = Object.keys(StreamNodes.shape);
