// SPDX-License-Identifier: LGPL-2.1-or-later
import { join } from 'node:path';

import { z } from 'zod';

import type { Place } from './e2e-play.js';
import { paths } from './paths.js';
import { runCommand, type CommandResult } from './process.js';
import type { PulseClient } from './pulse.js';

const PROBE = join(paths.root, 'build/e2e-tools/latency-probe');
/** The probe itself gives up after 30 s. */
const DRAIN_LIMIT_MS = 40_000;

/** What test/e2e-tools/latency-probe prints; times are of CLOCK_MONOTONIC. */
const ProbeResult = z.object({
  impulses: z.array(
    z.object({
      written_usec: z.number(),
      reported_latency_usec: z.number(),
      heard_usec: z.number().nullable(),
      arrived_usec: z.number().nullable(),
    }),
  ),
  drain: z.object({
    last_written_usec: z.number(),
    last_heard_usec: z.number().nullable(),
    drained_usec: z.number(),
  }),
});
export type ProbeResult = z.infer<typeof ProbeResult>;

export interface ProbeOptions {
  from: Place;
  to: Place;
  /** Hz, of all sinks on the way. */
  rate: number;
  /** Latency asked by the player. */
  latencyMs: number;
  impulses: number;
}

/** Plays impulses and a drain, and tells what was promised and what came. @throws Error with what the probe said */
export async function probeLatency(options: ProbeOptions): Promise<ProbeResult> {
  const { from, to, rate, latencyMs, impulses } = options;
  const args = [
    `--play-server=${from.client.serverFromHere}`,
    `--play-device=${from.sink}`,
    `--record-server=${to.client.serverFromHere}`,
    `--record-device=${to.sink}.monitor`,
    `--rate=${rate}`,
    `--latency-msec=${latencyMs}`,
    `--impulses=${impulses}`,
  ];
  const limits = { env: to.client.env, timeoutMs: limitOf(impulses) };
  return resultOf(await runCommand(PROBE, args, limits));
}

export interface RoundTripOptions {
  client: PulseClient;
  sink: string;
  /** Hears what the sink plays. */
  source: string;
  /** Hz, of all devices on the way. */
  rate: number;
  /** Latency asked by the player, and by the recorder. */
  latencyMs: number;
  impulses: number;
}

/** Plays impulses and hears them come back, in one machine. @throws Error with what the probe said */
export async function probeRoundTrip(options: RoundTripOptions): Promise<ProbeResult> {
  const { client, sink, source, rate, latencyMs, impulses } = options;
  const { machine, server, env } = client;
  const args = [
    ...[`--play-server=${server}`, `--play-device=${sink}`],
    ...[`--record-server=${server}`, `--record-device=${source}`],
    `--rate=${rate}`,
    ...[`--latency-msec=${latencyMs}`, `--record-latency-msec=${latencyMs}`],
    `--impulses=${impulses}`,
  ];
  const program = await machine.provide(PROBE);
  return resultOf(await machine.run(program, args, { env, timeoutMs: limitOf(impulses) }));
}

const limitOf = (impulses: number): number => 30_000 + impulses * 1000;

/** @throws Error with what the probe said */
function resultOf({ code, stdout, stderr }: CommandResult): ProbeResult {
  if (code !== 0) {
    throw new Error(`latency-probe: ${stderr.trim()}`);
  }
  return ProbeResult.parse(JSON.parse(stdout));
}

/** From writing to arrival at the recorder, usec, for each impulse that came; in ascending order. */
export function arrivalsOf({ impulses }: ProbeResult): number[] {
  return impulses
    .flatMap(({ written_usec, arrived_usec }) => (arrived_usec === null ? [] : [arrived_usec - written_usec]))
    .sort((a, b) => a - b);
}

/** What the probe takes for the last frame of another program's stream; latency-probe.c, HEIGHT(0). */
export const PROBE_HEIGHT = 4096;
/** UDP. */
export const DRAIN_PORT = 47_000;

/**
 * Listens while another program plays and drains a stream whose last frame is PROBE_HEIGHT, and then says so to
 * DRAIN_PORT. @throws Error with what the probe said
 */
export async function probeDrain(
  to: Place,
  rate: number,
  play: () => Promise<void>,
): Promise<ProbeResult['drain']> {
  const args = [
    `--drained-port=${DRAIN_PORT}`,
    `--record-server=${to.client.serverFromHere}`,
    `--record-device=${to.sink}.monitor`,
    `--rate=${rate}`,
  ];
  const listening = runCommand(PROBE, args, { env: to.client.env, timeoutMs: DRAIN_LIMIT_MS });
  const [ended] = await Promise.all([listening, play()]);
  return resultOf(ended).drain;
}

/** Heard later than reported, usec, for each impulse that was heard; negative: earlier. In ascending order. */
export function latencyErrors({ impulses }: ProbeResult): number[] {
  return impulses
    .flatMap(({ written_usec, reported_latency_usec, heard_usec }) =>
      heard_usec === null ? [] : [heard_usec - written_usec - reported_latency_usec],
    )
    .sort((a, b) => a - b);
}

/** The value below which that share of the sorted values lies. @throws Error when there are none */
export function quantile(sorted: readonly number[], share: number): number {
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  if (value === undefined) {
    throw new Error('there is no value');
  }
  return value;
}
