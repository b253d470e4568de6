// SPDX-License-Identifier: LGPL-2.1-or-later
/** Latency of a guest's playback and what it costs, beside a player in dom0 and a tunnel over TCP; see README.md. */
import { setTimeout as sleep } from 'node:timers/promises';

import { medianOf } from '../scripts/lib/median.js';
import type { Guest } from '../test/host/guest.js';
import { Host, SPEAKERS } from '../test/host/host.js';
import type { Machine } from '../test/host/machine.js';
import { clockAhead, DelayProbe, type Delays } from '../test/lib/delay-probe.js';
import { countersOf, Recorder, type Place } from '../test/lib/e2e-play.js';
import { latencyErrors, probeLatency, quantile } from '../test/lib/e2e-probe.js';
import { benchmark, numberFrom } from './lib/command.js';
import { domainCpu } from './lib/xentop.js';

const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = `format=${format.format} rate=${format.rate} channels=${format.channels}`;
const TUNNEL = 'tunnel';
/** docs/xen-lab.md */
const DOM0_ADDRESS = '10.9.9.100';
/** Before the measurement: programs that start take the one processor, and what runs ahead for that lets go again. */
const SETTLE_SECONDS = 6;
/** After it, for what is asked then. */
const REST_SECONDS = 6;
const PART_SAMPLES = 5;
/** The backend tells its counters that often, and a little more. */
const COUNTERS_MS = 1500;
/** In /proc/interrupts: those that no device raises. */
const OWN_INTERRUPTS = /timer|resched|callfunc|irqwork|spinlock|debug/;

interface Arguments {
  latenciesMs: number[];
  seconds: number;
  impulses: number;
}

/** What is printed, a line each. */
interface Figures {
  way: string;
  latencyMs: number | null;
  /** From the player's writing to arrival at a recorder of dom0's sink, usec. */
  p50Usec: number | null;
  p99Usec: number | null;
  /** Frames that never arrived meanwhile. */
  lostFrames: number | null;
  /** Heard later than the player was told, usec; the middle one. */
  errorUsec: number | null;
  drainUsec: number | null;
  dom0MsPerSecond: number;
  guestMsPerSecond: number;
  guestEventsPerSecond: number;
  /** In the player's buffer at its server; in all that comes after that; in dom0's sink alone. */
  bufferUsec: number | null;
  sinkUsec: number | null;
  dom0SinkUsec: number | null;
  underruns: number | null;
}

/** Of a machine where nothing plays. */
const NOTHING = {
  latencyMs: null,
  p50Usec: null,
  p99Usec: null,
  lostFrames: null,
  errorUsec: null,
  drainUsec: null,
  bufferUsec: null,
  sinkUsec: null,
  dom0SinkUsec: null,
  underruns: null,
};

/** Where a player plays. */
interface Way {
  name: string;
  from: Place;
  /** By how much dom0's clock is ahead of the player's, usec. */
  aheadUsec: number;
  ours: boolean;
  /** Below that it asks for more than the machine has. */
  leastMs: number;
}

async function measureAll(options: Arguments): Promise<Figures[]> {
  const host = await Host.start({ xen: 'real', guests: 1, nullSinkArgs: spec, sinkArgs: spec });
  try {
    const [guest] = host.guests;
    if (guest === undefined) {
      throw new Error('the host has no guest');
    }
    await host.client.loadModule('module-native-protocol-tcp', 'auth-anonymous=1');
    const server = `server=tcp:${DOM0_ADDRESS} sink=${SPEAKERS}`;
    await guest.client.loadModule('module-tunnel-sink-new', `${server} sink_name=${TUNNEL} ${spec}`);
    const aheadUsec = await clockAhead(guest.domain.machine, DOM0_ADDRESS);
    const ways: Way[] = [
      {
        name: 'player in dom0',
        from: { client: host.client, sink: SPEAKERS },
        aheadUsec: 0,
        ours: false,
        leastMs: 0,
      },
      {
        name: 'module-tunnel-sink-new',
        from: { client: guest.client, sink: TUNNEL },
        aheadUsec,
        ours: false,
        leastMs: 20,
      },
      {
        name: 'module-xen-sink',
        from: { client: guest.client, sink: guest.sink ?? '' },
        aheadUsec,
        ours: true,
        leastMs: 0,
      },
    ];
    const figures = [await measureRest(host, guest, options)];
    for (const latencyMs of options.latenciesMs) {
      for (const way of ways.filter(({ leastMs }) => latencyMs >= leastMs)) {
        const figure = await measure(host, guest, way, latencyMs, options);
        figures.push(figure);
        process.stderr.write(
          `${latencyMs} ms, ${way.name}: p50 ${figure.p50Usec}, p99 ${figure.p99Usec} usec\n`,
        );
      }
    }
    return figures;
  } finally {
    await host.stop();
  }
}

/** Nothing but the recorder. */
async function measureRest(host: Host, guest: Guest, { seconds }: Arguments): Promise<Figures> {
  const recorder = await Recorder.start({ client: host.client, sink: SPEAKERS }, format, host.dir);
  try {
    return { way: 'nothing plays', ...NOTHING, ...(await costOf(guest, seconds)) };
  } finally {
    await recorder.stop();
  }
}

async function measure(
  host: Host,
  guest: Guest,
  way: Way,
  latencyMs: number,
  options: Arguments,
): Promise<Figures> {
  const to: Place = { client: host.client, sink: SPEAKERS };
  const recorder = await Recorder.start(to, format, host.dir);
  try {
    const probed = await probeLatency({
      from: way.from,
      to,
      rate: format.rate,
      latencyMs,
      impulses: options.impulses,
    });
    const { delays, ...steady } = await playSteadily(host, guest, way, latencyMs, options.seconds);
    const { drain } = probed;
    return {
      way: way.name,
      latencyMs,
      p50Usec: quantile(delays.usec, 0.5),
      p99Usec: quantile(delays.usec, 0.99),
      lostFrames: delays.lostFrames,
      errorUsec: quantile(latencyErrors(probed), 0.5),
      drainUsec: drain.last_heard_usec === null ? null : drain.drained_usec - drain.last_heard_usec,
      ...steady,
    };
  } finally {
    await recorder.stop();
  }
}

type Steady = Pick<
  Figures,
  | 'dom0MsPerSecond'
  | 'guestMsPerSecond'
  | 'guestEventsPerSecond'
  | 'bufferUsec'
  | 'sinkUsec'
  | 'dom0SinkUsec'
  | 'underruns'
> & { delays: Delays };

/**
 * The delays and the underruns while nobody asks questions, then what playing costs, and then where the latency lies: the
 * programs that ask take all there is of the one processor for as long as a small buffer lasts.
 */
async function playSteadily(
  host: Host,
  guest: Guest,
  way: Way,
  latencyMs: number,
  seconds: number,
): Promise<Steady> {
  const { from, aheadUsec } = way;
  const to: Place = { client: host.client, sink: SPEAKERS };
  const probe = await DelayProbe.start(from, to, {
    latencyMs,
    seconds: SETTLE_SECONDS + 2 * seconds + REST_SECONDS,
    aheadUsec,
  });
  try {
    await sleep(SETTLE_SECONDS * 1000 - COUNTERS_MS);
    const before = await underrunsOf(host, guest, way);
    await sleep(COUNTERS_MS + seconds * 1000 + COUNTERS_MS);
    const after = await underrunsOf(host, guest, way);
    const underruns = before === null || after === null ? null : after - before;
    const cost = await costOf(guest, seconds);
    const parts = await partsOf(host, from);
    const delays = await probe.end(SETTLE_SECONDS, SETTLE_SECONDS + seconds);
    return { ...cost, underruns, ...parts, delays };
  } finally {
    await probe.stop();
  }
}

/** So far; null where the backend has no part in it. */
async function underrunsOf(host: Host, guest: Guest, { ours }: Way): Promise<number | null> {
  return ours ? (await countersOf(host, guest)).underruns : null;
}

async function costOf(
  guest: Guest,
  seconds: number,
): Promise<Pick<Figures, 'dom0MsPerSecond' | 'guestMsPerSecond' | 'guestEventsPerSecond'>> {
  const { machine, name } = guest.domain;
  const before = await interruptsOf(machine);
  const cpu = await domainCpu(seconds);
  const events = (await interruptsOf(machine)) - before;
  return {
    dom0MsPerSecond: cpu.get('Domain-0') ?? NaN,
    guestMsPerSecond: cpu.get(name) ?? NaN,
    guestEventsPerSecond: events / seconds,
  };
}

/** So far, of all devices. */
async function interruptsOf(machine: Machine): Promise<number> {
  const { stdout } = await machine.run('cat', ['/proc/interrupts']);
  return stdout
    .split('\n')
    .filter((line) => !OWN_INTERRUPTS.test(line))
    .reduce((sum, line) => sum + Number(/^\s*\w+:\s+(\d+)/.exec(line)?.[1] ?? 0), 0);
}

/** What the servers say of a playing stream; medians. */
async function partsOf(
  host: Host,
  from: Place,
): Promise<Pick<Figures, 'bufferUsec' | 'sinkUsec' | 'dom0SinkUsec'>> {
  const samples: { buffer: number; sink: number; dom0: number }[] = [];
  while (samples.length < PART_SAMPLES) {
    const inputs = await from.client.list('sink-inputs');
    const { index } = await from.client.sink(from.sink);
    const input = inputs.find((candidate) => candidate.sink === index && candidate.client !== null);
    const dom0 = await host.client.sink(SPEAKERS);
    if (input === undefined) {
      throw new Error(`nothing plays on ${from.sink}`);
    }
    samples.push({
      buffer: input.buffer_latency_usec,
      sink: input.sink_latency_usec,
      dom0: dom0.latency?.actual ?? NaN,
    });
  }
  return {
    bufferUsec: medianOf(samples.map((s) => s.buffer)),
    sinkUsec: medianOf(samples.map((s) => s.sink)),
    dom0SinkUsec: medianOf(samples.map((s) => s.dom0)),
  };
}

function tableOf(figures: Figures[]): string {
  const ms = (usec: number | null): string => (usec === null ? '-' : (usec / 1000).toFixed(1));
  const count = (value: number | null): string => (value === null ? '-' : value.toFixed(0));
  const heads = ['way', 'client', 'p50', 'p99', 'lost', 'error', 'drain', 'buffer', 'sink', 'dom0 sink'];
  const costs = ['CPU dom0', 'CPU guest', 'events/s', 'underruns'];
  const rows = figures.map((f) => [
    f.way,
    count(f.latencyMs),
    ...[f.p50Usec, f.p99Usec].map(ms),
    count(f.lostFrames),
    ...[f.errorUsec, f.drainUsec, f.bufferUsec, f.sinkUsec, f.dom0SinkUsec].map(ms),
    ...[f.dom0MsPerSecond, f.guestMsPerSecond, f.guestEventsPerSecond, f.underruns].map(count),
  ]);
  return [[...heads, ...costs], ...rows]
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(24) : cell.padStart(10))).join(''))
    .join('\n')
    .concat('\n');
}

await benchmark({
  usage: `[--latency-ms 10,20,50] [--seconds 10] [--impulses 100] [--json]

From a program's writing in a guest to dom0's monitor, beside a player in dom0 and a tunnel over TCP; on real Xen (README.md).

  --latency-ms N[,N...]  what the players ask for, in turn
  --seconds N            how long each way is measured
  --impulses N           how many for the error of what is reported
  --json                 the figures as JSON`,
  options: {
    'latency-ms': { type: 'string', default: '10,20,50' },
    seconds: { type: 'string', default: '10' },
    impulses: { type: 'string', default: '100' },
  },
  read: (values): Arguments => ({
    latenciesMs: values['latency-ms'].split(',').map((text) => numberFrom('latency-ms', text, 5, 2000)),
    seconds: numberFrom('seconds', values.seconds, 1, 3600),
    impulses: numberFrom('impulses', values.impulses, 1, 500),
  }),
  measure: measureAll,
  textOf: tableOf,
});
