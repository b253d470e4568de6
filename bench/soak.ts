// SPDX-License-Identifier: LGPL-2.1-or-later
/** Guests that come, go, crash and change their volume at random, beside others that play; see README.md. */
import { parseArgs } from 'node:util';

import { soak, type SoakReport } from '../test/lib/soak.js';
import { numberFrom } from './lib/arguments.js';

const SEED_MAX = 0xffff_ffff;

function textOf(report: SoakReport): string {
  const { acts, failures, players, local, controllerSlope, pulseSlope } = report;
  const heard = [...players, { name: 'local', ...local }].map(
    ({ name, frames, gaps, lost, inserted }) =>
      `${name.padEnd(10)} ${String(frames).padStart(12)} frames ${String(gaps).padStart(6)} gaps ${String(lost).padStart(8)} lost ${String(inserted).padStart(8)} inserted\n`,
  );
  const done = Object.entries(acts).map(([name, count]) => `${name} ${count}`);
  const held = JSON.stringify(report.before) === JSON.stringify(report.after) ? 'the same' : 'NOT the same';
  return [
    ...heard,
    `done: ${done.join(', ')}\n`,
    `controller ${controllerSlope.toFixed(1)} KiB/min, dom0's PulseAudio ${pulseSlope.toFixed(1)} KiB/min\n`,
    `held before and after: ${held}; backend modules ${report.modules.join(' and ')}\n`,
    `${failures.length} failures\n${failures.map((failure) => `  ${failure}\n`).join('')}`,
  ].join('');
}

try {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Date.now() % SEED_MAX) },
      'latency-ms': { type: 'string', default: '200' },
      json: { type: 'boolean', default: false },
    },
  });
  const report = await soak({
    minutes: numberFrom('minutes', values.minutes, 0.2, 24 * 60),
    seed: numberFrom('seed', values.seed, 0, SEED_MAX),
    players: 4,
    lightGuests: 16,
    latencyMs: numberFrom('latency-ms', values['latency-ms'], 20, 2000),
    say: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
} catch (error) {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
