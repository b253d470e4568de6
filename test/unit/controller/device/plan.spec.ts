// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import {
  planSteps,
  type DeviceStatus,
  type Link,
  type Observation,
  type Step,
} from '../../../../controller/device/plan.js';
import { XenbusState } from '../../../../controller/xenbus/state.js';

const idle: DeviceStatus = {
  link: 'idle',
  announced: true,
  holdLeftMs: 0,
  backoffLeftMs: 0,
  lingerLeftMs: 0,
  held: false,
  ownsDirectory: false,
};
const connected: DeviceStatus = { ...idle, link: 'connected' };
const fine: Observation = {
  backend: 2,
  frontend: 1,
  online: true,
  domainAlive: true,
  frontendPathRight: true,
  serverUp: true,
  streams: 'fine',
};

const show = (steps: readonly Step[]): string =>
  steps
    .map((step) => {
      switch (step.kind) {
        case 'setState':
          return String(step.state);
        case 'judge':
          return step.verdict;
        case 'replanIn':
          return `in ${step.delayMs}`;
        case 'announce':
        case 'connect':
        case 'disconnect':
        case 'removeDirectory':
        case 'forget':
          return step.kind;
      }
    })
    .join(' ');

const plan = (current: DeviceStatus, observed: Partial<Observation>): string =>
  show(planSteps(current, { ...fine, ...observed }));

const STATES = Object.values(XenbusState);

/** Rows: the backend's state; columns: the frontend's, 0 to 8. */
const IDLE_TABLE: Readonly<Record<XenbusState, readonly string[]>> = {
  0: Array<string>(9).fill('6'),
  1: Array<string>(9).fill('announce 2'),
  2: ['', '', '', 'connect', '', '', '', '', ''],
  3: Array<string>(9).fill('6'),
  4: Array<string>(9).fill('lost 5 disconnect 6'),
  5: Array<string>(9).fill('6'),
  6: [
    'announce 2',
    'announce 2',
    'announce 2',
    '',
    '',
    'announce 2',
    'announce 2',
    'announce 2',
    'announce 2',
  ],
  7: Array<string>(9).fill('6'),
  8: Array<string>(9).fill('6'),
};

/** Once the streams have answered long enough. */
const CONNECTED_TABLE: Readonly<Record<XenbusState, readonly string[]>> = {
  0: Array<string>(9).fill('disconnect 6'),
  1: Array<string>(9).fill('disconnect announce 2'),
  2: STATES.map((frontend) => (frontend === 3 ? '4' : 'disconnect')),
  3: Array<string>(9).fill('disconnect 6'),
  4: STATES.map((frontend) => (frontend === 3 || frontend === 4 ? '' : 'disconnect 6')),
  5: Array<string>(9).fill('disconnect 6'),
  6: Array<string>(9).fill('disconnect'),
  7: Array<string>(9).fill('disconnect 6'),
  8: Array<string>(9).fill('disconnect 6'),
};

describe('planSteps', () => {
  for (const [title, status, table] of [
    ['without streams', idle, IDLE_TABLE],
    ['with connected streams', connected, CONNECTED_TABLE],
  ] as const) {
    for (const backend of STATES) {
      it(`plans for backend state ${backend} and every frontend state, ${title}`, () => {
        const plans = STATES.map((frontend) => plan(status, { backend, frontend }));

        assert.deepEqual(plans, table[backend]);
      });
    }
  }

  it('holds state 2 before it connects', () => {
    assert.equal(plan({ ...idle, holdLeftMs: 120 }, { frontend: 3 }), 'in 120');
  });

  it('publishes versions and features again after a restart of the controller', () => {
    assert.equal(plan({ ...idle, announced: false }, { frontend: 3 }), 'announce');
  });

  it('waits in 2 while the sound server is down', () => {
    assert.equal(plan(idle, { frontend: 3, serverUp: false }), '');
  });

  it('returns to 2 also while the sound server is down', () => {
    assert.equal(plan(idle, { backend: 6, frontend: 1, serverUp: false }), 'announce 2');
  });

  it('closes a connection whose sound server went down', () => {
    assert.equal(plan(connected, { backend: 4, frontend: 4, serverUp: false }), 'lost 5 disconnect 6');
    assert.equal(plan(connected, { backend: 2, frontend: 3, serverUp: false }), 'lost 5 disconnect 6');
  });

  it('closes a connection whose module reports the stream lost or broken', () => {
    assert.equal(plan(connected, { backend: 4, frontend: 4, streams: 'lost' }), 'lost 5 disconnect 6');
    assert.equal(plan(connected, { backend: 4, frontend: 4, streams: 'broken' }), 'broken 5 disconnect 6');
    assert.equal(plan(connected, { backend: 2, frontend: 3, streams: 'broken' }), 'broken 5 disconnect 6');
  });

  it('closes when the frontend published what is refused', () => {
    assert.equal(plan({ ...idle, link: 'refused' }, { frontend: 3 }), 'broken 5 disconnect 6');
  });

  it('makes a guest that failed wait before it returns to 2', () => {
    assert.equal(plan({ ...idle, backoffLeftMs: 4000 }, { backend: 6, frontend: 1 }), 'in 4000');
  });

  it('lets go and stays in 6 when the toolstack removes the device', () => {
    assert.equal(plan(connected, { backend: 5, frontend: 4, online: false }), 'disconnect 6');
    assert.equal(plan(idle, { backend: 6, frontend: 6, online: false }), '');
    assert.equal(plan(idle, { backend: 2, frontend: 1, online: false }), '6');
  });

  it('serves a frontend that frees its streams in 6 until it has let go, for a while', () => {
    const patient = { ...connected, lingerLeftMs: 700 };
    const removed: Partial<Observation> = { frontend: 4, online: false };
    assert.equal(plan(patient, { ...removed, backend: 5 }), '6');
    assert.equal(plan(patient, { ...removed, backend: 6 }), 'in 700');
    assert.equal(plan(patient, { ...removed, backend: 6, frontend: 1 }), 'disconnect');
    assert.equal(plan(connected, { ...removed, backend: 6 }), 'disconnect');
    assert.equal(plan({ ...patient, held: true }, { backend: 4, frontend: 4 }), '5 6');
    assert.equal(plan({ ...patient, held: true }, { backend: 6, frontend: 4 }), 'in 700');
    assert.equal(plan({ ...patient, held: true }, { backend: 6, frontend: 1 }), 'disconnect');
  });

  it('serves nobody in 6 who has no streams, or is dead', () => {
    const patient = { ...connected, lingerLeftMs: 700 };
    const closed: Partial<Observation> = { backend: 6, frontend: 4 };
    assert.equal(plan({ ...patient, link: 'refused' }, closed), 'disconnect');
    assert.equal(plan(patient, { ...closed, serverUp: false }), 'disconnect');
    assert.equal(plan(patient, { ...closed, streams: 'lost' }), 'disconnect');
    assert.equal(plan(patient, { ...closed, domainAlive: false }), 'disconnect forget');
    assert.equal(plan(patient, { ...closed, backend: undefined }), 'disconnect forget');
  });

  it('removes its directory in a driver domain, but not before the toolstack has seen 6 and removed its own', () => {
    const driver = { ...idle, ownsDirectory: true };
    assert.equal(
      plan({ ...driver, link: 'connected' }, { backend: 5, frontend: 0, online: false }),
      'disconnect 6',
    );
    assert.equal(plan(driver, { backend: 6, frontend: 6, online: false }), '');
    assert.equal(plan(driver, { backend: 6, frontend: 0, online: false }), 'removeDirectory');
    assert.equal(plan(idle, { backend: 6, frontend: 0, online: false }), '');
  });

  it('lets a stream play until the toolstack asks for 5', () => {
    assert.equal(plan(connected, { backend: 4, frontend: 4, online: false }), '');
  });

  it('forgets a device whose directory is gone', () => {
    assert.equal(plan(connected, { backend: undefined, frontend: 4 }), 'disconnect forget');
    assert.equal(plan(idle, { backend: undefined, frontend: 0 }), 'forget');
  });

  it('lets go of a domain that died, at once and in any state', () => {
    assert.equal(plan(connected, { backend: 4, frontend: 4, domainAlive: false }), 'disconnect 6 forget');
    assert.equal(plan(idle, { backend: 6, frontend: 0, domainAlive: false }), 'forget');
  });

  it('touches nothing of a device whose frontend link leads elsewhere', () => {
    for (const backend of STATES) assert.equal(plan(idle, { backend, frontendPathRight: false }), '');
    assert.equal(plan(connected, { backend: 4, frontendPathRight: false }), 'disconnect');
  });

  it('comes to rest from every situation when its steps are performed', () => {
    const links: readonly Link[] = ['idle', 'connected', 'refused'];
    for (const backend of STATES)
      for (const frontend of STATES)
        for (const link of links)
          for (const online of [true, false])
            for (const serverUp of [true, false]) {
              assertRests(
                { ...idle, link, lingerLeftMs: 1 },
                { ...fine, backend, frontend, online, serverUp },
              );
            }
  });
});

/** Performs plans on a model until none is left. */
const assertRests = (status: DeviceStatus, observed: Observation): void => {
  let [current, seen] = [status, observed];
  for (let round = 0; round < 8; round += 1) {
    const steps = planSteps(current, seen);
    if (steps.length === 0) return;
    for (const step of steps) {
      if (step.kind === 'connect') current = { ...current, link: 'connected' };
      if (step.kind === 'disconnect') current = { ...current, link: 'idle' };
      if (step.kind === 'announce') current = { ...current, announced: true };
      if (step.kind === 'replanIn') current = { ...current, lingerLeftMs: 0 };
      if (step.kind === 'setState') seen = { ...seen, backend: step.state };
    }
  }
  assert.fail(`never rests: ${JSON.stringify({ status, observed })}`);
};
