// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CardConfig, StreamConfig } from '../../schemas/sndif.js';
import type { PolicyDecision } from '../policy/decision.js';
import type { GuestLimits } from '../policy/evaluate.js';
import { offeredCapabilities } from '../policy/limits.js';
import { narrowStream } from '../sndif/capabilities.js';
import { describeFault, tryParseCard } from '../sndif/card.js';
import { frontendPath, type DeviceId } from '../xenbus/paths.js';
import { readCard } from './card-reader.js';
import type { XenstoreReader } from './ports.js';
import type { StreamSetup } from './stream-set.js';

/** The streams of a card to connect, or why none is. */
export type CardSetup =
  | {
      readonly kind: 'accepted';
      readonly setups: readonly StreamSetup[];
      /** What is left unconnected, and why. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Reads what a frontend has published and decides what to connect.
 * @param claim asked once it is known how many streams are wanted; decides, and counts them from then on
 */
export const readCardSetup = async (
  reader: XenstoreReader,
  id: DeviceId,
  limits: GuestLimits,
  claim: (wanted: number) => PolicyDecision,
): Promise<CardSetup> => {
  const raw = await readCard(reader, frontendPath(id), limits.streams);
  const card = raw.ok ? tryParseCard(raw.value) : raw;
  if (!card.ok) return refuse(describeFault(card.fault));
  const wanted = card.value.streams.filter((stream) => leftOut(stream) === undefined);
  const decision = claim(wanted.length);
  if (!decision.allowed) return refuse(decision.reason);
  const notes = card.value.streams.flatMap((stream) => leftOut(stream) ?? []);
  const setups: StreamSetup[] = [];
  for (const stream of wanted) {
    const setup = setUp(stream, card.value, id, limits);
    if (typeof setup === 'string') return refuse(`${frontendPath(id)}/${label(stream)}: ${setup}`);
    setups.push(setup);
  }
  return { kind: 'accepted', setups, notes };
};

const refuse = (reason: string): CardSetup => ({ kind: 'refused', reason });

const label = (stream: StreamConfig): string => `${stream.pcm}/${stream.stream}`;

const leftOut = (stream: StreamConfig): string | undefined => {
  return stream.transport === undefined ? `stream ${label(stream)} was left out by the frontend` : undefined;
};

const setUp = (
  stream: StreamConfig,
  card: CardConfig,
  id: DeviceId,
  limits: GuestLimits,
): StreamSetup | string => {
  const capabilities = narrowStream(offeredCapabilities(limits), stream);
  if (!capabilities.ok) return capabilities.reason;
  if (stream.transport === undefined) return 'it has no rings';
  return {
    id: { ...id, pcm: stream.pcm, stream: stream.stream },
    direction: stream.direction,
    transport: stream.transport,
    card,
    capabilities: capabilities.value,
  };
};
