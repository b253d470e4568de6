// SPDX-License-Identifier: LGPL-2.1-or-later
/** How long many guests take to connect when they get their cards at once, and what that costs dom0; see README.md. */

import { Host } from '../test/host/host.js';
import { LightGuests } from '../test/lib/light-guest.js';
import { attachAndDetach, warmUp, type ManyFigures, type ProcessFigures } from '../test/lib/many.js';
import { benchmark, numberFrom } from './lib/command.js';

const ROUNDS = 3;

async function measure(counts: readonly number[]): Promise<ManyFigures[]> {
  const host = await Host.start({ config: { logLevel: 'info' } });
  const guests = new LightGuests(host);
  try {
    const figures: ManyFigures[] = [];
    for (const count of counts) {
      while (guests.all.length < count) await guests.create(`light${guests.all.length + 1}`);
      await warmUp(host, guests);
      for (let round = 0; round < ROUNDS; round += 1) figures.push(await attachAndDetach(host, guests));
    }
    return figures;
  } finally {
    await guests.stop();
    await host.stop();
  }
}

const columns: readonly [string, (figures: ManyFigures) => number][] = [
  ['guests', ({ guests }) => guests],
  ['connect ms', ({ connectMs }) => connectMs],
  ['detach ms', ({ detachMs }) => detachMs],
  ['controller KiB/guest', ({ controller, guests }) => difference(controller, 'rssKib') / guests],
  ['controller CPU ms', ({ controller }) => 1000 * difference(controller, 'cpuSeconds')],
  ['pulse KiB/guest', ({ pulse, guests }) => difference(pulse, 'rssKib') / guests],
  ['pulse CPU ms', ({ pulse }) => 1000 * difference(pulse, 'cpuSeconds')],
  ['pulse threads', ({ pulse }) => pulse[1]?.threads ?? 0],
];

/** What connecting adds. */
function difference([before, connected]: readonly ProcessFigures[], what: keyof ProcessFigures): number {
  return (connected?.[what] ?? 0) - (before?.[what] ?? 0);
}

function tableOf(figures: readonly ManyFigures[]): string {
  const lines = [
    columns.map(([name]) => name),
    ...figures.map((line) => columns.map(([, of]) => of(line).toFixed(0))),
  ];
  return lines.map((line) => `${line.map((cell) => cell.padStart(20)).join('')}\n`).join('');
}

await benchmark({
  usage: `[--guests 16,64] [--json]

So many guests get a card at the same moment, three times: how long until all are connected, and what that costs (README.md).

  --guests N[,N...]  how many, in turn
  --json             the figures as JSON`,
  options: { guests: { type: 'string', default: '16,64' } },
  read: ({ guests }) => guests.split(',').map((text) => numberFrom('guests', text, 1, 256)),
  measure,
  textOf: tableOf,
});
