// SPDX-License-Identifier: LGPL-2.1-or-later
/** Guests that come, go, crash and change their volume at random, beside others that play; see README.md. */

import { soak, type SoakOptions, type SoakReport } from '../test/lib/soak.js';
import { benchmark, numberFrom } from './lib/command.js';

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

await benchmark({
  usage: `[--minutes 10] [--seed N] [--latency-ms 200] [--json]

Sixteen guests come, go, crash and are turned up and down at random, beside four that play and must not notice (README.md).

  --minutes N      how long
  --seed N         the same again, as far as chance goes; default: another each time
  --latency-ms N   what the four players ask for
  --json           the report as JSON`,
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % SEED_MAX) },
    'latency-ms': { type: 'string', default: '200' },
  },
  read: (values): SoakOptions => ({
    minutes: numberFrom('minutes', values.minutes, 0.2, 24 * 60),
    seed: numberFrom('seed', values.seed, 0, SEED_MAX),
    players: 4,
    lightGuests: 16,
    latencyMs: numberFrom('latency-ms', values['latency-ms'], 20, 2000),
    say: (line) => process.stderr.write(`${line}\n`),
  }),
  measure: soak,
  textOf,
});
