// SPDX-License-Identifier: LGPL-2.1-or-later
/** A guest that plays and records at once, and hears what it plays: gaps of either way, and the round trip; see README.md. */

import type { Guest } from '../test/host/guest.js';
import { Host, SPEAKERS } from '../test/host/host.js';
import type { PcmComparison } from '../test/lib/compare-pcm.js';
import { compare, countersOf, play, Recorder } from '../test/lib/e2e-play.js';
import { arrivalsOf, probeRoundTrip, quantile } from '../test/lib/e2e-probe.js';
import { noise } from '../test/lib/e2e-signals.js';
import { benchmark, numberFrom } from './lib/command.js';

const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = `format=${format.format} rate=${format.rate} channels=${format.channels}`;
const GUEST = 'guest1';
const LEAD_IN_SECONDS = 2;
const END_LIMIT_MS = 30_000;

interface Arguments {
  minutes: number;
  latencyMs: number;
  impulses: number;
}

type Faults = Pick<PcmComparison, 'gaps' | 'lostFrames' | 'insertedFrames' | 'differingFrames'>;

interface Report {
  minutes: number;
  latencyMs: number;
  /** From the player's writing in the guest to arrival at the recorder in the guest, usec. */
  roundTrip: { impulses: number; p50Usec: number; p99Usec: number };
  /** As dom0's own recorder of the microphone heard it, and as the guest's did; frames. */
  played: Faults;
  recorded: Faults;
  underruns: number;
  overruns: number;
}

async function measure(options: Arguments): Promise<Report> {
  const host = await Host.start({
    guests: 1,
    nullSinkArgs: spec,
    sinkArgs: spec,
    sourceArgs: spec,
    mayRecord: [GUEST],
    policy: { source: `${SPEAKERS}.monitor` },
  });
  try {
    const [guest] = host.guests;
    if (guest === undefined) {
      throw new Error('the host has no guest');
    }
    const roundTrip = await roundTripOf(guest, options);
    return { ...options, roundTrip, ...(await playAndHear(host, guest, options)) };
  } finally {
    await host.stop();
  }
}

async function roundTripOf(guest: Guest, { latencyMs, impulses }: Arguments): Promise<Report['roundTrip']> {
  const { client, sink, source } = guest;
  const arrivals = arrivalsOf(
    await probeRoundTrip({
      client,
      sink: sink ?? '',
      source: source ?? '',
      rate: format.rate,
      latencyMs,
      impulses,
    }),
  );
  return {
    impulses: arrivals.length,
    p50Usec: quantile(arrivals, 0.5),
    p99Usec: quantile(arrivals, 0.99),
  };
}

async function playAndHear(
  host: Host,
  guest: Guest,
  { minutes, latencyMs }: Arguments,
): Promise<Pick<Report, 'played' | 'recorded' | 'underruns' | 'overruns'>> {
  const pcm = noise(format, minutes * 60);
  const { client } = guest;
  const owned: { stop(): Promise<unknown> }[] = [];
  try {
    const own = await Recorder.start({ client: host.client, sink: SPEAKERS }, format, host.dir);
    owned.push(own);
    const recorder = await Recorder.ofSource({ client, source: guest.source ?? '' }, format, guest.dir, {
      latencyMs,
    });
    owned.push(recorder);
    const options = { latencyMs, leadInSeconds: LEAD_IN_SECONDS };
    const player = await play({ client, sink: guest.sink ?? '' }, pcm, format, guest.dir, options);
    owned.push(player);
    await player.succeeded(minutes * 60_000 + END_LIMIT_MS);
    const [recorded, played] = await Promise.all([recorder.finish(), own.finish()]);
    const overruns = await host.captureNode(guest, 'overruns');
    return {
      played: faultsOf(compare(pcm, played, format)),
      recorded: faultsOf(compare(pcm, recorded, format)),
      underruns: (await countersOf(host, guest)).underruns,
      overruns: Number(overruns ?? NaN),
    };
  } finally {
    await Promise.all(owned.map((process) => process.stop()));
  }
}

function faultsOf({ gaps, lostFrames, insertedFrames, differingFrames }: PcmComparison): Faults {
  return { gaps, lostFrames, insertedFrames, differingFrames };
}

function textOf({ roundTrip, played, recorded, ...rest }: Report): string {
  const ms = (usec: number): string => (usec / 1000).toFixed(1);
  const faults = ({ gaps, lostFrames, insertedFrames, differingFrames }: Faults): string =>
    `${gaps} gaps, ${lostFrames} frames lost, ${insertedFrames} inserted, ${differingFrames} different`;
  return [
    `round trip of ${roundTrip.impulses} impulses at ${rest.latencyMs} ms: p50 ${ms(roundTrip.p50Usec)} ms, p99 ${ms(roundTrip.p99Usec)} ms`,
    `${rest.minutes} minutes, guest to dom0:  ${faults(played)}`,
    `${rest.minutes} minutes, and back again: ${faults(recorded)}`,
    `${rest.underruns} underruns, ${rest.overruns} overruns\n`,
  ].join('\n');
}

await benchmark({
  usage: `[--minutes 10] [--latency-ms 10] [--impulses 100] [--json]

A guest plays and records at the same time: the round trip of impulses, then what is missing of noise, both ways (README.md).

  --minutes N      how long noise is played
  --latency-ms N   what player and recorder ask for
  --impulses N     how many round trips
  --json           the report as JSON`,
  options: {
    minutes: { type: 'string', default: '10' },
    'latency-ms': { type: 'string', default: '10' },
    impulses: { type: 'string', default: '100' },
  },
  read: (values): Arguments => ({
    minutes: numberFrom('minutes', values.minutes, 0.1, 24 * 60),
    latencyMs: numberFrom('latency-ms', values['latency-ms'], 5, 2000),
    impulses: numberFrom('impulses', values.impulses, 1, 500),
  }),
  measure,
  textOf: textOf,
});
