// SPDX-License-Identifier: LGPL-2.1-or-later
import { STREAMS } from './frontends.js';
import type { Random } from '../random.js';
import type { Kind, World } from './world.js';

/** How a schedule begins. */
export interface Beginning {
  readonly kind: Kind;
  /** Whether the card is connected when it begins, or the toolstack has just made it. */
  readonly start: 'fresh' | 'connected';
  /** Whether all that needs no time happens after each action, or one call at a time. */
  readonly pace: 'whole' | 'stepped';
}

/** A beginning, and the actions that follow; text that replays it: `own fresh stepped: step*17 front-gone`. */
export interface Schedule extends Beginning {
  readonly actions: readonly string[];
}

type Action = (world: World) => void | Promise<void>;

/** The guest writes into its own part of xenstore; the card must be there. */
const guestWrites =
  (node: string, value: string, spoils = true): Action =>
  (world) => {
    if (!world.store.nodes.has(`${world.frontPath}/state`)) return;
    world.store.put(`${world.frontPath}/${node}`, value);
    world.spoilt ||= spoils;
  };

const guestDrops =
  (...nodes: string[]): Action =>
  (world) => {
    for (const node of nodes) world.store.drop(`${world.frontPath}/${node}`);
    world.spoilt = true;
  };

const passes =
  (ms: number): Action =>
  (world) =>
    world.pass(ms);

const STATES = ['0', '1', '2', '3', '4', '5', '6', '7', '8', 'junk'];
const RINGS = STREAMS.flatMap((stream) =>
  ['ring-ref', 'event-channel', 'evt-ring-ref', 'evt-event-channel'].map((node) => `${stream}/${node}`),
);

/** All that may happen, by name. */
const ACTIONS: Readonly<Record<string, Action>> = {
  // the guest
  front: (world) => {
    world.stepFrontend();
  },
  'front-reborn': (world) => {
    if (world.frontend !== undefined) world.rebear();
  },
  ...Object.fromEntries(STATES.map((state) => [`state=${state}`, guestWrites('state', state, false)])),
  'rings-gone': guestDrops(...RINGS),
  'ring-gone': guestDrops('0/0/ring-ref'),
  'ring-junk': guestWrites('0/1/evt-ring-ref', '-1'),
  'ring-wrong': guestWrites('0/1/ring-ref', '4242'),
  'type-junk': guestWrites('0/0/type', 'x'),
  'stream-gone': guestDrops('0/0'),
  // the toolstack
  'front-gone': (world) => {
    world.store.drop(world.frontPath);
  },
  'back-gone': (world) => {
    world.store.drop(world.backPath);
  },
  detach: (world) => {
    world.detach();
  },
  attach: (world) => {
    world.attach();
  },
  destroy: (world) => {
    world.destroy();
  },
  migrate: (world) => {
    world.destroy();
    world.attach();
  },
  // the daemon
  crash: (world) => {
    world.replaceDaemon('crash');
  },
  restart: (world) => {
    world.replaceDaemon('end');
  },
  'session-lost': (world) => {
    world.daemon.loseSession();
  },
  'store-fails': (world) => {
    world.daemon.connection.failNext = true;
  },
  suspend: (world) => {
    world.daemon.setSuspended(true);
  },
  resume: (world) => {
    world.daemon.setSuspended(false);
  },
  // the sound server
  'server-dies': (world) => {
    world.server.die();
    world.daemon.pulse.setUp(false);
  },
  'server-drops': (world) => {
    world.daemon.pulse.setUp(false);
  },
  'server-returns': (world) => {
    world.server.runs = true;
    world.daemon.pulse.setUp(true);
  },
  'server-hiccups': (world) => {
    if (world.daemon.pulse.isUp) world.daemon.pulse.setUp(true);
  },
  'load-refused': (world) => {
    world.daemon.pulse.refuseNext = true;
  },
  'answer-lost': (world) => {
    world.daemon.pulse.loseNext = true;
  },
  'stream-lost': (world) => {
    world.server.say('lost: the frontend is gone');
  },
  'stream-broken': (world) => {
    world.server.say('broken: a ring index');
  },
  // time
  tick: passes(100),
  hold: passes(300),
  minute: passes(70_000),
};

/** What happens to calls that wait; only where one comes after the other. */
const STEPS: Readonly<Record<string, Action>> = {
  step: (world) => {
    world.step();
  },
  event: (world) => {
    world.daemon.gate.letThrough('watch');
  },
  call: (world) => {
    world.daemon.gate.letThrough('xenstore');
  },
  load: (world) => {
    world.daemon.gate.letThrough('pulse');
  },
  'front-event': (world) => {
    world.frontend?.step();
  },
};

export const ACTION_NAMES: readonly string[] = Object.keys(ACTIONS);
const STEP_NAMES: readonly string[] = Object.keys(STEPS);

/** @throws Error for a name that is none */
export const actionOf = (name: string): Action => {
  const action = ACTIONS[name] ?? STEPS[name];
  if (action === undefined) throw new Error(`"${name}" is no action of a schedule`);
  return action;
};

/** As text, which `parseSchedule` understands. */
export const formatSchedule = ({ kind, start, pace, actions }: Schedule): string => {
  const runs: { name: string; times: number }[] = [];
  for (const name of actions) {
    const last = runs.at(-1);
    if (last?.name === name) last.times += 1;
    else runs.push({ name, times: 1 });
  }
  const texts = runs.map(({ name, times }) => (times === 1 ? name : `${name}*${times}`));
  return `${kind} ${start} ${pace}: ${texts.join(' ')}`;
};

/** @throws Error for text that is no schedule */
export const parseSchedule = (text: string): Schedule => {
  const [, kind, start, pace, rest] =
    /^(own|linux) (fresh|connected) (whole|stepped):(.*)$/.exec(text.trim()) ?? [];
  if (kind === undefined || rest === undefined) throw new Error(`"${text}" is no schedule`);
  const actions = rest
    .split(/\s+/)
    .filter((word) => word !== '')
    .flatMap((word) => {
      const [name = '', times = '1'] = word.split('*');
      actionOf(name);
      return Array<string>(Number(times)).fill(name);
    });
  return {
    kind: kind as Kind,
    start: start as Beginning['start'],
    pace: pace as Beginning['pace'],
    actions,
  };
};

/** All sequences of up to `depth` actions, the short ones first. */
export function* everySequence(names: readonly string[], depth: number): Generator<readonly string[]> {
  for (let length = 1; length <= depth; length += 1) yield* sequencesOf(names, length);
}

function* sequencesOf(names: readonly string[], length: number): Generator<readonly string[]> {
  if (length === 0) yield [];
  else for (const rest of sequencesOf(names, length - 1)) for (const name of names) yield [...rest, name];
}

/** A schedule of up to 30 actions; where they are stepped, most are steps. */
export const randomSchedule = (random: Random): Schedule => {
  const oneOf = <T>(choices: readonly T[]): T => choices[random.below(choices.length)] as T;
  const pace = oneOf(['whole', 'stepped'] as const);
  const beginning = { kind: oneOf(['own', 'linux'] as const), start: oneOf(['fresh', 'connected'] as const) };
  const length = 3 + random.below(pace === 'whole' ? 20 : 80);
  const actions = Array.from({ length }, () => {
    if (pace === 'whole') return oneOf(ACTION_NAMES);
    const kind = random.below(8);
    return kind < 4 ? 'step' : kind < 6 ? oneOf(STEP_NAMES) : kind < 7 ? 'front-event' : oneOf(ACTION_NAMES);
  });
  return { ...beginning, pace, actions };
};
