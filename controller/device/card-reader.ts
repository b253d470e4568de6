// SPDX-License-Identifier: LGPL-2.1-or-later
import { CARD_NODE_NAMES, PCM_NODE_NAMES, STREAM_NODE_NAMES } from '../../schemas/sndif.js';
import type { Parsed, RawCard, RawNodes, RawPcm } from '../sndif/card.js';
import type { XenstoreReader } from './ports.js';

/**
 * Reads a card's nodes, all inside one transaction of the caller. What a guest may have made larger than we take is
 * refused before it is read.
 * @param countMax most PCM devices, and most streams of the card
 */
export const readCard = async (
  reader: XenstoreReader,
  path: string,
  countMax: number,
): Promise<Parsed<RawCard>> => {
  const pcmCount = await countChildren(reader, path, countMax);
  if (!pcmCount.ok) return pcmCount;
  const pcms: RawPcm[] = [];
  let left = countMax;
  for (let pcm = 0; pcm < pcmCount.value; pcm += 1) {
    const pcmPath = `${path}/${pcm}`;
    const streamCount = await countChildren(reader, pcmPath, left);
    if (!streamCount.ok) return streamCount;
    left -= streamCount.value;
    const streams: RawNodes[] = [];
    for (let stream = 0; stream < streamCount.value; stream += 1) {
      streams.push(await readNodes(reader, `${pcmPath}/${stream}`, STREAM_NODE_NAMES));
    }
    pcms.push({ nodes: await readNodes(reader, pcmPath, PCM_NODE_NAMES), streams });
  }
  return { ok: true, value: { path, nodes: await readNodes(reader, path, CARD_NODE_NAMES), pcms } };
};

/** Children named 0, 1, 2 …: sndif has them contiguous. */
const countChildren = async (
  reader: XenstoreReader,
  path: string,
  countMax: number,
): Promise<Parsed<number>> => {
  const names = new Set((await reader.list(path))?.filter((name) => /^[0-9]+$/.test(name)));
  const fault = (name: string, expected: string): Parsed<number> => ({
    ok: false,
    fault: { path: `${path}/${name}`, value: undefined, expected },
  });
  if (names.size > countMax) return fault('', `at most ${countMax} numbered directories`);
  for (let index = 0; index < names.size; index += 1) {
    if (!names.has(String(index))) return fault(String(index), 'a directory: indices are contiguous from 0');
  }
  return { ok: true, value: names.size };
};

const readNodes = async (
  reader: XenstoreReader,
  path: string,
  names: readonly string[],
): Promise<RawNodes> => {
  const nodes: Record<string, string> = {};
  for (const name of names) {
    const value = await reader.read(`${path}/${name}`);
    if (value !== undefined) nodes[name] = value;
  }
  return nodes;
};
