// SPDX-License-Identifier: LGPL-2.1-or-later
/** The command behind scripts/demo, which holds the help text. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { Host } from '../test/host/host.js';
import { comparePcm, type PcmComparison } from '../test/lib/compare-pcm.js';
import { paths } from '../test/lib/paths.js';
import type { StreamFormat } from '../test/lib/pulse.js';
import { plotWaveforms } from './lib/plot.js';
import { playInLab, type PlayInLab } from './lib/play-in-lab.js';
import { playThrough, type Played } from './lib/play-through.js';
import { decode, DEFAULT_RECORDING, formatOf, frameBytesOf } from './lib/recording.js';
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

interface Summary extends PcmComparison {
  file: string;
  format: string;
  sentFrames: number;
  receivedFrames: number;
  durationSeconds: number;
  latencyMs: number | null;
  underruns: number | null;
  wav: string;
  png: string;
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
  const played = options.xen
    ? await playInLab({ pcmFile, format, workDir, signal })
    : await playOnEmulatedHost(options, { pcmFile, format, workDir, signal });
  return summarise(options, format, readFileSync(pcmFile), played);
}

async function playOnEmulatedHost(options: Arguments, what: PlayInLab): Promise<Played> {
  const { format, signal } = what;
  // The same format all the way, so that what arrives can be compared octet by octet.
  const spec = `format=${format.format} rate=${format.rate} channels=${format.channels}`;
  const host = await Host.start({ xen: 'emulated', guests: 1, nullSinkArgs: spec, sinkArgs: spec, signal });
  try {
    return await playThrough({ ...what, host, speakers: options.speakers, say });
  } finally {
    await host.stop();
  }
}

async function summarise(
  options: Arguments,
  format: StreamFormat,
  sent: Buffer,
  played: Played,
): Promise<Summary> {
  const { received, latencyMs, underruns } = played;
  const frameBytes = frameBytesOf(format);
  const sampleBytes = format.format === 's32le' ? 4 : 2;
  const comparison = comparePcm(sent, received, { frameBytes });
  mkdirSync(options.out, { recursive: true });
  const wav = join(options.out, 'dom0.wav');
  const png = join(options.out, 'waveforms.png');
  writeFileSync(wav, wavOf(received, { ...format, sampleBytes }));
  await plotWaveforms(
    { sent, received, startFrame: comparison.startFrame, ...format, sampleBytes, title: options.file },
    join(options.out, 'waveforms.dat'),
    png,
  );
  const sentFrames = sent.length / frameBytes;
  return {
    file: options.file,
    format: `${format.format}, ${format.rate} Hz, ${format.channels} ${format.channels === 1 ? 'channel' : 'channels'}`,
    sentFrames,
    receivedFrames: comparison.matchedFrames + comparison.differingFrames,
    durationSeconds: sentFrames / format.rate,
    latencyMs,
    underruns,
    wav,
    png,
    ...comparison,
  };
}

function tableOf(summary: Summary): string {
  const rows: [string, string][] = [
    ['recording', summary.file],
    ['format', summary.format],
    ['duration', `${summary.durationSeconds.toFixed(1)} s`],
    ['frames sent', String(summary.sentFrames)],
    ['frames received', String(summary.receivedFrames)],
    ['frames lost', String(summary.lostFrames)],
    ['frames inserted', String(summary.insertedFrames)],
    ['frames changed', String(summary.differingFrames)],
    ['gaps', String(summary.gaps)],
    ['sample for sample', summary.exact ? 'yes' : 'no'],
    ['latency reported', summary.latencyMs === null ? 'unknown' : `${summary.latencyMs.toFixed(1)} ms`],
    ['underruns', summary.underruns === null ? 'unknown' : String(summary.underruns)],
    ["dom0's sound", summary.wav],
    ['picture', summary.png],
  ];
  return rows.map(([name, value]) => `${name.padEnd(18)} ${value}`).join('\n');
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
    process.exitCode = summary.matchedFrames > 0 ? 0 : 1;
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
