// SPDX-License-Identifier: LGPL-2.1-or-later
import { writeFileSync } from 'node:fs';

import { runCommand } from '../../test/lib/process.js';

/** Points along the time axis; each shows the extremes of its share of the samples. */
const COLUMNS = 1600;

export interface PlotInput {
  sent: Buffer;
  received: Buffer;
  /** Where the sent signal begins in the received one. */
  startFrame: number;
  rate: number;
  channels: number;
  sampleBytes: 2 | 4;
  title: string;
  /** Where it was sent, and where received. */
  from: string;
  to: string;
}

/**
 * Draws what was sent, what arrived and their difference, first channel, full scale as 1.
 *
 * @param dataFile receives the numbers, so that they can be drawn anew
 */
export async function plotWaveforms(input: PlotInput, dataFile: string, pngFile: string): Promise<void> {
  const rows = envelopes(input);
  writeFileSync(dataFile, rows.map((row) => row.map((value) => value.toPrecision(7)).join(' ')).join('\n'));
  const result = await runCommand('gnuplot', ['-e', gnuplotScript(input, dataFile, pngFile)], {
    timeoutMs: 60_000,
  });
  if (result.code !== 0) {
    throw new Error(`gnuplot could not draw ${pngFile}: ${result.stderr.trim()}`);
  }
}

/** Rows of: seconds, then least and greatest of sent, received, difference. */
function envelopes(input: PlotInput): number[][] {
  const { sent, received, startFrame, rate, channels, sampleBytes } = input;
  const frameBytes = channels * sampleBytes;
  const frames = Math.floor(sent.length / frameBytes);
  const perColumn = Math.max(1, Math.ceil(frames / COLUMNS));
  const rows: number[][] = [];
  for (let first = 0; first < frames; first += perColumn) {
    const extremes = [0, 1, 2].map(() => ({ least: Infinity, greatest: -Infinity }));
    for (let frame = first; frame < Math.min(first + perColumn, frames); frame += 1) {
      const a = sampleAt(sent, frame * frameBytes, sampleBytes);
      const b = sampleAt(received, (startFrame + frame) * frameBytes, sampleBytes);
      [a, b, b - a].forEach((value, index) => {
        const extreme = extremes[index];
        if (extreme !== undefined) {
          extreme.least = Math.min(extreme.least, value);
          extreme.greatest = Math.max(extreme.greatest, value);
        }
      });
    }
    rows.push([first / rate, ...extremes.flatMap(({ least, greatest }) => [least, greatest])]);
  }
  return rows;
}

/** 0 beyond the end, so that what did not arrive shows as its own negative in the difference. */
function sampleAt(pcm: Buffer, at: number, sampleBytes: 2 | 4): number {
  if (at < 0 || at + sampleBytes > pcm.length) {
    return 0;
  }
  return pcm.readIntLE(at, sampleBytes) / 2 ** (sampleBytes * 8 - 1);
}

function gnuplotScript({ title, from, to }: PlotInput, dataFile: string, pngFile: string): string {
  // The line shows what has no height: silence, and a difference of nothing.
  const panel = (name: string, column: number, colour: string): string =>
    `set ylabel "${name}"; plot "${escape(dataFile)}" using 1:${column}:${column + 1} ` +
    `with filledcurves linecolor rgb "${colour}" notitle, ` +
    `"" using 1:${column} with lines linecolor rgb "${colour}" notitle`;
  return [
    'set terminal pngcairo size 1600,900 font "sans,11"',
    `set output "${escape(pngFile)}"`,
    `set multiplot layout 3,1 title "${escape(title)}" noenhanced`,
    'set grid; set yrange [-1:1]; set autoscale xfix; set lmargin 10',
    panel(`sent in ${from}`, 2, '#2a6f97'),
    panel(`received in ${to}`, 4, '#2d7d46'),
    'set xlabel "seconds of the recording"',
    panel('difference', 6, '#b23a48'),
    'unset multiplot',
  ].join('; ');
}

function escape(text: string): string {
  return text.replace(/[\\"]/g, '\\$&').replaceAll('\n', ' ');
}
