// SPDX-License-Identifier: LGPL-2.1-or-later
/** The command behind scripts/demo, which holds the help text. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { comparePcm, type PcmComparison } from '../test/lib/compare-pcm.js';
import { paths } from '../test/lib/paths.js';
import type { StreamFormat } from '../test/lib/pulse.js';
import { plotWaveforms } from './lib/plot.js';
import { playInLab } from './lib/play-in-lab.js';
import { decode, DEFAULT_RECORDING, formatOf, frameBytesOf } from './lib/recording.js';
import { roundTrip, spokenOf, type RoundTrip } from './lib/round-trip.js';
import { checkSpeakers } from './lib/speakers.js';
import { wavOf } from './lib/wav.js';

interface Arguments {
  file: string;
  out: string;
  seconds: number | undefined;
  speakers: boolean;
  /** On a real Xen, in scripts/xen-lab. */
  xen: boolean;
  json: boolean;
}

/** What became of a recording on one way. */
interface Arrival extends PcmComparison {
  sentFrames: number;
  receivedFrames: number;
  durationSeconds: number;
  latencyMs: number | null;
  wav: string;
  png: string;
}

interface Summary extends Arrival {
  file: string;
  format: string;
  underruns: number | null;
  /** From dom0's microphone to the guest that may record. */
  capture: Arrival;
  /** What the guest that may not record heard meanwhile. */
  denied: { frames: number; soundingFrames: number };
}

function readArguments(args: string[]): Arguments {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      out: { type: 'string', default: join(paths.root, 'build/demo') },
      seconds: { type: 'string' },
      speakers: { type: 'boolean', default: false },
      xen: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  if (positionals.length > 1) {
    throw new Error('one FILE at a time');
  }
  const seconds = values.seconds === undefined ? undefined : Number(values.seconds);
  if (seconds !== undefined && !(seconds >= 1)) {
    throw new Error(`--seconds ${values.seconds ?? ''}: expected a number from 1`);
  }
  if (values.xen && values.speakers) {
    throw new Error(
      '--speakers: what plays on the virtual machine of --xen is not heard as it plays; listen to the WAV',
    );
  }
  const [file] = positionals;
  return {
    file: resolve(file ?? DEFAULT_RECORDING),
    out: resolve(values.out),
    // Enough of the default music to see and hear; a file of the user's is played to its end.
    seconds: seconds ?? (file === undefined ? 60 : undefined),
    speakers: values.speakers,
    xen: values.xen,
    json: values.json,
  };
}

async function demo(options: Arguments, workDir: string, signal: AbortSignal): Promise<Summary> {
  const format = await formatOf(options.file);
  if (options.speakers) {
    await checkSpeakers();
  }
  const pcmFile = join(workDir, 'sent.pcm');
  await decode(options.file, format, pcmFile, options.seconds);
  say(`playing ${options.file} in the guest`);
  const what = { pcmFile, format, workDir, signal };
  const trip = options.xen
    ? await playInLab(what)
    : await roundTrip('emulated', { ...what, speakers: options.speakers, say });
  return summarise(options, format, readFileSync(pcmFile), trip);
}

async function summarise(
  options: Arguments,
  format: StreamFormat,
  sent: Buffer,
  trip: RoundTrip,
): Promise<Summary> {
  mkdirSync(options.out, { recursive: true });
  const { file: title, out } = options;
  const played = { title, out, format, from: 'the guest', to: 'dom0', wav: 'dom0', plot: 'waveforms' };
  const spoken = { ...played, from: 'dom0', to: 'the guest', wav: 'guest', plot: 'capture' };
  const frameBytes = frameBytesOf(format);
  return {
    file: options.file,
    format: `${format.format}, ${format.rate} Hz, ${format.channels} ${format.channels === 1 ? 'channel' : 'channels'}`,
    underruns: trip.underruns,
    ...(await arrivalOf(played, sent, trip.received, trip.latencyMs)),
    capture: await arrivalOf(spoken, spokenOf(sent, format), trip.heard, trip.captureLatencyMs),
    denied: {
      frames: trip.unheard.length / frameBytes,
      soundingFrames: soundingFramesIn(trip.unheard, frameBytes),
    },
  };
}

/** How one way is drawn and kept. */
interface WayLabels {
  title: string;
  out: string;
  format: StreamFormat;
  from: string;
  to: string;
  /** Names of files, without suffix. */
  wav: string;
  plot: string;
}

/** Compares, and leaves a WAV file and a picture. */
async function arrivalOf(
  { title, out, format, from, to, ...names }: WayLabels,
  sent: Buffer,
  received: Buffer,
  latencyMs: number | null,
): Promise<Arrival> {
  const frameBytes = frameBytesOf(format);
  const sampleBytes = format.format === 's32le' ? 4 : 2;
  const comparison = comparePcm(sent, received, { frameBytes });
  const wav = join(out, `${names.wav}.wav`);
  const png = join(out, `${names.plot}.png`);
  writeFileSync(wav, wavOf(received, { ...format, sampleBytes }));
  await plotWaveforms(
    { sent, received, startFrame: comparison.startFrame, ...format, sampleBytes, title, from, to },
    join(out, `${names.plot}.dat`),
    png,
  );
  const sentFrames = sent.length / frameBytes;
  return {
    sentFrames,
    receivedFrames: comparison.matchedFrames + comparison.differingFrames,
    durationSeconds: sentFrames / format.rate,
    latencyMs,
    wav,
    png,
    ...comparison,
  };
}

function soundingFramesIn(pcm: Buffer, frameBytes: number): number {
  const silence = Buffer.alloc(frameBytes);
  let count = 0;
  for (let at = 0; at + frameBytes <= pcm.length; at += frameBytes) {
    if (pcm.compare(silence, 0, frameBytes, at, at + frameBytes) !== 0) count += 1;
  }
  return count;
}

function tableOf(summary: Summary): string {
  const { capture, denied } = summary;
  const rows: [string, string][] = [
    ['recording', summary.file],
    ['format', summary.format],
    ...arrivalRows(summary),
    ['underruns', summary.underruns === null ? 'unknown' : String(summary.underruns)],
    ["dom0's sound", summary.wav],
    ['picture', summary.png],
    ['', ''],
    ["dom0's microphone", 'the same recording, heard in a guest that may listen'],
    ...arrivalRows(capture),
    ["the guest's sound", capture.wav],
    ['picture', capture.png],
    ['who may not listen', `${denied.frames} frames, ${denied.soundingFrames} of them not silent`],
  ];
  return rows.map(([name, value]) => `${name.padEnd(18)} ${value}`.trimEnd()).join('\n');
}

function arrivalRows(arrival: Arrival): [string, string][] {
  return [
    ['duration', `${arrival.durationSeconds.toFixed(1)} s`],
    ['frames sent', String(arrival.sentFrames)],
    ['frames received', String(arrival.receivedFrames)],
    ['frames lost', String(arrival.lostFrames)],
    ['frames inserted', String(arrival.insertedFrames)],
    ['frames changed', String(arrival.differingFrames)],
    ['gaps', String(arrival.gaps)],
    ['sample for sample', arrival.exact ? 'yes' : 'no'],
    ['latency reported', arrival.latencyMs === null ? 'unknown' : `${arrival.latencyMs.toFixed(1)} ms`],
  ];
}

function say(text: string): void {
  process.stderr.write(`  ... ${text}\n`);
}

async function main(): Promise<void> {
  const options = readArguments(process.argv.slice(2));
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      stopping.abort(new Error(`stopped by ${name}`));
    });
  }
  const workDir = mkdtempSync(join(tmpdir(), 'xen-audio-demo-'));
  try {
    const summary = await demo(options, workDir, stopping.signal);
    process.stdout.write(options.json ? `${JSON.stringify(summary, null, 2)}\n` : `\n${tableOf(summary)}\n`);
    const { matchedFrames, capture, denied } = summary;
    process.exitCode = matchedFrames > 0 && capture.matchedFrames > 0 && denied.soundingFrames === 0 ? 0 : 1;
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
