// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { explore, countSteps, SCHEDULE_VARIABLE } from '../../../lib/explorer/explore.js';
import {
  ACTION_NAMES,
  everySequence,
  parseSchedule,
  randomSchedule,
  type Beginning,
} from '../../../lib/explorer/schedule.js';
import { World } from '../../../lib/explorer/world.js';
import { Random } from '../../../lib/random.js';
import { FULL } from '../../../lib/scale.js';

/** XEN_AUDIO_TEST_FULL=1 takes hours. */
const DEPTH = FULL ? 3 : 2;
const RANDOM_SCHEDULES = FULL ? 50_000 : 600;
/** Of the places where a call is interrupted, each action is tried at one of so many, not all at the same. */
const STRIDE = FULL ? 1 : 64;
const FIRST_SEED = Number(process.env['XEN_AUDIO_TEST_SEED'] ?? '1');
const REPLAY = process.env[SCHEDULE_VARIABLE];

/** To these other actions come close enough. */
const ALIKE = ['state=7', 'state=8', 'state=junk', 'ring-gone', 'ring-junk', 'tick'];
const DIFFERENT = ACTION_NAMES.filter((name) => FULL || !ALIKE.includes(name));

/** Beginnings whose sequences of actions are all tried, to this depth. */
const WHOLE = [
  { kind: 'own', start: 'connected', depth: DEPTH, names: DIFFERENT },
  { kind: 'own', start: 'connected', depth: 1, names: ACTION_NAMES },
  { kind: 'linux', start: 'connected', depth: FULL ? DEPTH : 1, names: ACTION_NAMES },
  { kind: 'own', start: 'fresh', depth: FULL ? DEPTH : 1, names: ACTION_NAMES },
  { kind: 'linux', start: 'fresh', depth: FULL ? DEPTH : 1, names: ACTION_NAMES },
] as const;

/** What is interrupted between any two of its calls. */
const STEPPED: readonly { title: string; start: Beginning['start']; actions: readonly string[] }[] = [
  { title: 'connecting', start: 'fresh', actions: [] },
  { title: 'adopting, after a crash', start: 'connected', actions: ['crash'] },
  { title: 'ending in order', start: 'connected', actions: ['restart'] },
  { title: 'detaching', start: 'connected', actions: ['detach'] },
  { title: 'closing, for a frontend that has died', start: 'connected', actions: ['front-reborn'] },
  {
    title: 'returning after the sound server',
    start: 'connected',
    actions: ['server-dies', 'server-returns'],
  },
];

describe('handshake explorer', function () {
  this.timeout(FULL ? 10_000_000 : 240_000); // seconds of work, but the machine may have other things to do

  if (REPLAY !== undefined) {
    it(`replays ${REPLAY}`, () => explore(parseSchedule(REPLAY)));
    return;
  }

  for (const { kind, start, depth, names } of WHOLE) {
    const sequences = [...everySequence(names, depth)];
    const what = `all ${sequences.length} sequences of up to ${depth} of ${names.length} actions`;
    it(`a ${start} card of the ${kind} frontend survives ${what}`, async () => {
      for (const actions of sequences) await explore({ kind, start, pace: 'whole', actions });
    });
  }

  for (const { title, start, actions } of STEPPED) {
    it(`${title} survives each action between two calls`, async () => {
      for (const kind of ['own', 'linux'] as const) {
        const schedule = { kind, start, pace: 'stepped', actions } as const;
        const steps = await countSteps(schedule);
        for (const [position, name] of ACTION_NAMES.entries()) {
          for (let before = position % STRIDE; before <= steps; before += STRIDE) {
            const calm = Array<string>(before).fill('step');
            await explore({ ...schedule, actions: [...actions, ...calm, name] });
          }
        }
      }
    });
  }

  it('a session that was lost leaves the streams of the next one alone', async () => {
    const world = new World('own', false);
    await world.connect();
    const before = [...world.server.loaded];

    world.daemon.loseSession();
    await world.settle();
    world.daemon.pulse.setUp(true); // it came back before anybody saw that it had gone
    await world.settle();

    assert.deepEqual(world.server.loaded, before);
    await world.check();
  });

  it(`survives ${RANDOM_SCHEDULES} schedules from seed ${FIRST_SEED} on, of calls and actions in any order`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + RANDOM_SCHEDULES; seed += 1)
      await explore(randomSchedule(new Random(seed)), seed);
  });
});
