// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFileSync } from 'node:fs';

import { Host, type HostOptions } from '../../test/host/host.js';
import { frameBytesOf } from './recording.js';
import { playThrough, type Played, type PlayThrough } from './play-through.js';
import { recordThrough, type Recorded } from './record-through.js';

/** Enough to see; recording takes as long as it sounds. */
const CAPTURE_SECONDS = 10;

export type RoundTrip = Played & Recorded;

/** The beginning of a recording, which goes into dom0's microphone. */
export function spokenOf(pcm: Buffer, format: PlayThrough['format']): Buffer {
  return pcm.subarray(0, CAPTURE_SECONDS * format.rate * frameBytesOf(format));
}

/** Starts a host with two guests of which the first may record, and plays a recording through it, there and back. */
export async function roundTrip(
  xen: HostOptions['xen'],
  options: Omit<PlayThrough, 'host' | 'workDir'> & { workDir?: string },
): Promise<RoundTrip> {
  const { format, signal, say, pcmFile } = options;
  // The same format all the way, so that what arrives can be compared octet by octet.
  const spec = `format=${format.format} rate=${format.rate} channels=${format.channels}`;
  const host = await Host.start({
    ...(xen === undefined ? {} : { xen }),
    guests: 2,
    nullSinkArgs: spec,
    micFeedArgs: spec,
    sinkArgs: spec,
    sourceArgs: spec,
    mayRecord: ['guest1'],
    signal,
  });
  try {
    const played = await playThrough({ workDir: host.dir, ...options, host });
    const pcm = spokenOf(readFileSync(pcmFile), format);
    return { ...played, ...(await recordThrough({ host, pcm, format, signal, say })) };
  } finally {
    await host.stop();
  }
}
