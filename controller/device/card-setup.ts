// SPDX-License-Identifier: LGPL-2.1-or-later
import type { DaemonConfig } from '../../schemas/config.js';
import type { CardConfig, StreamConfig } from '../../schemas/sndif.js';
import type { PolicyDecision } from '../policy/decision.js';
import { offeredCapabilities } from '../policy/limits.js';
import { narrowStream } from '../sndif/capabilities.js';
import { describeFault, tryParseCard } from '../sndif/card.js';
import { frontendPath, type DeviceId } from '../xenbus/paths.js';
import { readCard } from './card-reader.js';
import { readGuest } from './guest.js';
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
  config: DaemonConfig,
  claim: (wanted: number) => PolicyDecision,
): Promise<CardSetup> => {
  const raw = await readCard(reader, frontendPath(id), config.limits.streamsPerGuestMax);
  const card = raw.ok ? tryParseCard(raw.value) : raw;
  if (!card.ok) return refuse(describeFault(card.fault));
  const wanted = card.value.streams.filter((stream) => leftOut(stream) === undefined);
  const decision = claim(wanted.length);
  if (!decision.allowed) return refuse(decision.reason);
  const guest = await readGuest(reader, id.domid);
  const notes = card.value.streams.flatMap((stream) => leftOut(stream) ?? []);
  const setups: StreamSetup[] = [];
  for (const stream of wanted) {
    const setup = setUp(stream, card.value, id, config);
    if (typeof setup === 'string') return refuse(`${frontendPath(id)}/${label(stream)}: ${setup}`);
    setups.push({ ...setup, guest });
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
  config: DaemonConfig,
): Omit<StreamSetup, 'guest'> | string => {
  const capabilities = narrowStream(offeredCapabilities(config.limits), stream);
  if (!capabilities.ok) return capabilities.reason;
  if (stream.transport === undefined) return 'it has no rings';
  return {
    id: { ...id, pcm: stream.pcm, stream: stream.stream },
    direction: stream.direction,
    transport: stream.transport,
    card,
    capabilities: capabilities.value,
    device: stream.direction === 'playback' ? config.pulse.sink : config.pulse.source,
  };
};
