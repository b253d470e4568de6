// SPDX-License-Identifier: LGPL-2.1-or-later
import { CARD_NODE_NAMES, PCM_NODE_NAMES, STREAM_NODE_NAMES } from '../../schemas/sndif.js';
import type { Parsed, RawCard, RawNodes, RawPcm } from '../sndif/card.js';
import type { XenstoreReader } from './ports.js';

/**
 * Reads a card's nodes, all inside one transaction of the caller; asks for no node that is not there, and most are not. What a guest may have made larger than we take is
 * refused before it is read.
 * @param countMax most PCM devices, and most streams of the card
 */
export const readCard = async (
  reader: XenstoreReader,
  path: string,
  countMax: number,
): Promise<Parsed<RawCard>> => {
  const card = await listNames(reader, path);
  const pcmCount = countChildren(path, card, countMax);
  if (!pcmCount.ok) return pcmCount;
  const pcms: RawPcm[] = [];
  let left = countMax;
  for (let pcm = 0; pcm < pcmCount.value; pcm += 1) {
    const pcmPath = `${path}/${pcm}`;
    const names = await listNames(reader, pcmPath);
    const streamCount = countChildren(pcmPath, names, left);
    if (!streamCount.ok) return streamCount;
    left -= streamCount.value;
    const streams: RawNodes[] = [];
    for (let stream = 0; stream < streamCount.value; stream += 1) {
      const streamPath = `${pcmPath}/${stream}`;
      const there = await listNames(reader, streamPath);
      streams.push(await readNodes(reader, streamPath, STREAM_NODE_NAMES, there));
    }
    pcms.push({ nodes: await readNodes(reader, pcmPath, PCM_NODE_NAMES, names), streams });
  }
  return { ok: true, value: { path, nodes: await readNodes(reader, path, CARD_NODE_NAMES, card), pcms } };
};

const listNames = async (reader: XenstoreReader, path: string): Promise<ReadonlySet<string>> =>
  new Set(await reader.list(path));

/** Children named 0, 1, 2 …: sndif has them contiguous. */
const countChildren = (path: string, children: ReadonlySet<string>, countMax: number): Parsed<number> => {
  const names = new Set([...children].filter((name) => /^[0-9]+$/.test(name)));
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
  there: ReadonlySet<string>,
): Promise<RawNodes> => {
  const nodes: Record<string, string> = {};
  for (const name of names.filter((each) => there.has(each))) {
    const value = await reader.read(`${path}/${name}`);
    if (value !== undefined) nodes[name] = value;
  }
  return nodes;
};
