// SPDX-License-Identifier: LGPL-2.1-or-later
/** Gaps and lost frames of a guest's playback, beside PulseAudio's own in the same run; see README.md. */
import { appendFileSync, existsSync, writeFileSync } from 'node:fs';

import { Host, SPEAKERS } from '../test/host/host.js';
import type { Guest } from '../test/host/guest.js';
import type { PcmComparison } from '../test/lib/compare-pcm.js';
import { compare, countersOf, playAndRecord, type Place } from '../test/lib/e2e-play.js';
import { noise } from '../test/lib/e2e-signals.js';
import { benchmark, numberFrom } from './lib/command.js';
import { cpuSecondsOf } from '../test/lib/cpu.js';

const LEAD_IN_SECONDS = 2;
/** Played by PulseAudio alone. */
const SIBLING = 'sibling';
const format = { format: 's16le', rate: 48_000, channels: 2 };

interface Arguments {
  minutes: number;
  latencyMs: number;
  nullSinkArgs: string;
  csv: string | undefined;
}

/** What is printed, one for each way; counts in frames. */
interface Figures {
  path: string;
  minutes: number;
  latencyMs: number;
  gaps: number;
  lostFrames: number;
  insertedFrames: number;
  differingFrames: number;
  underruns: number | null;
  lateBytes: number | null;
}

interface Report {
  figures: Figures[];
  cpuSeconds: { guestPulse: number; dom0Pulse: number };
}

async function measure(options: Arguments): Promise<Report> {
  const spec = `format=${format.format} rate=${format.rate} channels=${format.channels}`;
  const nullSinkArgs = `${spec} ${options.nullSinkArgs}`.trimEnd();
  const host = await Host.start({ guests: 1, nullSinkArgs, sinkArgs: spec });
  try {
    const [guest] = host.guests;
    if (guest === undefined) {
      throw new Error('the host has no guest');
    }
    await host.client.loadModule('module-null-sink', `sink_name=${SIBLING} ${nullSinkArgs}`);
    return await playBoth(host, guest, options);
  } finally {
    await host.stop();
  }
}

async function playBoth(host: Host, guest: Guest, options: Arguments): Promise<Report> {
  const { minutes, latencyMs } = options;
  const pcm = noise(format, minutes * 60);
  const passage = { pcm, format, options: { latencyMs, leadInSeconds: LEAD_IN_SECONDS } };
  const from: Place = { client: guest.client, sink: guest.sink ?? '' };
  const local: Place = { client: host.client, sink: SIBLING };
  const cpuNow = (): Report['cpuSeconds'] => ({
    guestPulse: cpuSecondsOf(guest.pulse.pid),
    dom0Pulse: cpuSecondsOf(host.pulse.pid),
  });

  const before = cpuNow();
  const [ours, alone] = await Promise.all([
    playAndRecord({ ...passage, from, to: { client: host.client, sink: SPEAKERS }, dir: guest.dir }),
    playAndRecord({ ...passage, from: local, to: local, dir: host.dir }),
  ]);
  const after = cpuNow();
  const counters = await countersOf(host, guest);
  return {
    figures: [
      figuresOf('guest', options, compare(pcm, ours, format), counters),
      figuresOf('dom0 alone', options, compare(pcm, alone, format), { underruns: null, lateBytes: null }),
    ],
    cpuSeconds: {
      guestPulse: after.guestPulse - before.guestPulse,
      dom0Pulse: after.dom0Pulse - before.dom0Pulse,
    },
  };
}

function figuresOf(
  path: string,
  { minutes, latencyMs }: Arguments,
  { gaps, lostFrames, insertedFrames, differingFrames }: PcmComparison,
  counters: Pick<Figures, 'underruns' | 'lateBytes'>,
): Figures {
  return { path, minutes, latencyMs, gaps, lostFrames, insertedFrames, differingFrames, ...counters };
}

function tableOf({ figures, cpuSeconds }: Report): string {
  const [first] = figures;
  const names = Object.keys(first ?? {}) as (keyof Figures)[];
  const lines = names.map((name) =>
    [name.padEnd(18), ...figures.map((f) => String(f[name] ?? '-').padStart(12))].join(''),
  );
  const cpu = `CPU seconds: guest's PulseAudio ${cpuSeconds.guestPulse.toFixed(1)}, dom0's ${cpuSeconds.dom0Pulse.toFixed(1)}`;
  return `${lines.join('\n')}\n${cpu} (dom0's serves both ways and both recorders)\n`;
}

/** Appends to the file, under a heading when it is new. */
function writeCsv(file: string, { figures }: Report): void {
  const names = Object.keys(figures[0] ?? {}) as (keyof Figures)[];
  if (!existsSync(file)) {
    writeFileSync(file, `time,${names.join(',')}\n`);
  }
  const time = new Date().toISOString();
  for (const line of figures) {
    appendFileSync(file, `${[time, ...names.map((name) => String(line[name] ?? ''))].join(',')}\n`);
  }
}

await benchmark({
  usage: `[--minutes 10] [--latency-ms 20] [--norewinds] [--csv FILE] [--json]

Plays noise in a guest and in dom0 alone at the same time, and counts what is missing of each (README.md).

  --minutes N      how long
  --latency-ms N   what the players ask for
  --norewinds      null sinks of 50 ms blocks, which cannot go below
  --csv FILE       appends a line for each way
  --json           the report as JSON`,
  options: {
    minutes: { type: 'string', default: '10' },
    'latency-ms': { type: 'string', default: '20' },
    norewinds: { type: 'boolean', default: false },
    csv: { type: 'string' },
  },
  read: (values): Arguments => ({
    minutes: numberFrom('minutes', values.minutes, 0.1, 24 * 60),
    latencyMs: numberFrom('latency-ms', values['latency-ms'], 5, 2000),
    nullSinkArgs: values.norewinds ? 'norewinds=1' : '',
    csv: values.csv,
  }),
  measure,
  textOf: (report, { csv }) => {
    if (csv !== undefined) writeCsv(csv, report);
    return tableOf(report);
  },
});
