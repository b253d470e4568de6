// SPDX-License-Identifier: LGPL-2.1-or-later
import { setImmediate as turn } from 'node:timers/promises';
import { messageOf } from '../../../controller/util/errors.js';
import { actionOf, formatSchedule, type Beginning, type Schedule } from './schedule.js';
import { World } from './world.js';

/** Replays one schedule: set to the text that a failure has printed. */
export const SCHEDULE_VARIABLE = 'XEN_AUDIO_TEST_SCHEDULE';
const LINES_SHOWN = 40;
const STEPS_MAX = 500;

/** How many steps it takes until all is at rest when nothing disturbs what follows these actions. */
export const countSteps = async (schedule: Schedule): Promise<number> => {
  const world = await begin(schedule);
  for (const name of schedule.actions) await actionOf(name)(world);
  for (let steps = 0; steps < STEPS_MAX; steps += 1) {
    await turn();
    if (world.isResting) return steps;
    world.step();
  }
  throw new Error(`never at rest: ${formatSchedule(schedule)}`);
};

const begin = async ({ kind, start, pace }: Beginning): Promise<World> => {
  const world = new World(kind, pace === 'stepped');
  if (start === 'fresh') return world;
  world.daemon.gate.open();
  await world.connect();
  if (pace === 'stepped') world.daemon.gate.close();
  return world;
};

/** Plays a schedule, mends what it broke, and looks whether all is well. Resolves with what was wrong, and the log. */
const play = async (schedule: Schedule): Promise<{ complaint: string; lines: string[] } | undefined> => {
  const world = await begin(schedule);
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => {
    unhandled.push(reason);
  };
  process.on('unhandledRejection', onUnhandled);
  try {
    for (const name of schedule.actions) {
      world.log.lines.push(`> ${name}`);
      await actionOf(name)(world);
      await world.settle();
    }
    world.log.lines.push('> all is mended');
    await world.check();
    if (unhandled.length === 0) return undefined;
    throw new Error(`a rejection nobody handled: ${unhandled.map(messageOf).join('; ')}`);
  } catch (error) {
    return { complaint: messageOf(error), lines: world.log.lines };
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
};

/** Leaves out what a failure does not need. */
const shorten = async (schedule: Schedule): Promise<Schedule> => {
  let shortest = schedule;
  for (let at = schedule.actions.length - 1; at >= 0; at -= 1) {
    const shorter = { ...shortest, actions: shortest.actions.filter((_, position) => position !== at) };
    if ((await play(shorter)) !== undefined) shortest = shorter;
  }
  return shortest;
};

/** @throws Error that names the shortest form of the schedule that goes wrong, and how to replay it */
export const explore = async (schedule: Schedule, seed?: number): Promise<void> => {
  if ((await play(schedule)) === undefined) return;
  const shortest = await shorten(schedule);
  const failure = (await play(shortest)) ?? { complaint: 'only once', lines: [] };
  throw new Error(
    [
      failure.complaint,
      `replay: ${SCHEDULE_VARIABLE}='${formatSchedule(shortest)}'`,
      ...(seed === undefined ? [] : [`seed ${seed}: ${formatSchedule(schedule)}`]),
      ...failure.lines.slice(-LINES_SHOWN),
    ].join('\n      '),
  );
};
