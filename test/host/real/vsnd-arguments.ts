// SPDX-License-Identifier: LGPL-2.1-or-later
import type { VsndCard, VsndParams } from '../../lib/toolstack.js';

/** A card as the arguments of `xl vsnd-attach`, and as the items of `vsnd=` in a guest's configuration; xl.cfg(5). */
export function vsndArguments(card: VsndCard): string[] {
  return [
    item(
      'CARD',
      { backend: card.backendDomid, 'short-name': card.shortName, 'long-name': card.longName },
      card,
    ),
    ...card.pcm.flatMap((pcm) => [
      item('PCM', { name: pcm.name }, pcm),
      ...pcm.streams.map((stream) =>
        item('STREAM', { 'unique-id': stream.uniqueId, type: stream.type }, stream),
      ),
    ]),
  ];
}

/** xl separates the items of a list by semicolons, since commas separate parameters. */
function item(kind: string, own: Record<string, string | number | undefined>, params: VsndParams): string {
  const all = {
    ...own,
    'sample-rates': params.sampleRates?.join(';'),
    'sample-formats': params.sampleFormats?.join(';'),
    'channels-min': params.channelsMin,
    'channels-max': params.channelsMax,
    'buffer-size': params.bufferSizeBytes,
  };
  const given = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  return [kind, ...given].join(',');
}
