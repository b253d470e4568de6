// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { Keeper } from '../../../controller/keeper.js';
import { XenAudioError } from '../../../controller/util/errors.js';
import { FakeClock, FakeLog, settle } from '../../lib/fake-ports.js';

describe('Keeper', () => {
  let clock: FakeClock;
  let log: FakeLog;
  let made: { stopped: boolean; lose: () => void }[];
  let failure: Error | undefined;
  let changes: number;
  const hopes = new Set<() => void>();
  let keeper: Keeper<{ stop(): Promise<void> }>;

  beforeEach(() => {
    [clock, log, made, failure, changes] = [new FakeClock(), new FakeLog(), [], undefined, 0];
    keeper = new Keeper(
      (onLost) => {
        if (failure !== undefined) return Promise.reject(failure);
        const thing = {
          stopped: false,
          lose: () => {
            onLost(new XenAudioError('xenstore-lost', 'the connection broke'));
          },
          stop: () => {
            thing.stopped = true;
            return Promise.resolve();
          },
        };
        made.push(thing);
        return Promise.resolve(thing);
      },
      clock,
      log,
      () => (changes += 1),
      (listener) => {
        hopes.add(listener);
        return () => hopes.delete(listener);
      },
    );
  });

  afterEach(async () => {
    await keeper.stop();
    assert.equal(clock.pending, 0, 'no timer stays');
    assert.equal(hopes.size, 0, 'no watch stays');
    assert.ok(
      made.every(({ stopped }) => stopped),
      'nothing made stays',
    );
  });

  it('starts it once, and waits without a timer', async () => {
    await keeper.start();
    assert.equal(keeper.current, made[0]);
    await clock.advance(100_000);
    assert.deepEqual([made.length, clock.pending, changes], [1, 0, 1]);
  });

  it('tries at once when there is hope, and waits for it only while there is nothing', async () => {
    failure = new Error('xenstore cannot be opened.');
    await keeper.start();
    await clock.advance(20_000);
    assert.deepEqual([hopes.size, made.length], [1, 0]);

    failure = undefined;
    for (const hope of hopes) hope();
    await settle();

    assert.deepEqual([hopes.size, made.length, clock.pending], [0, 1, 0]);
  });

  it('stops what has broken before it starts another', async () => {
    await keeper.start();
    made[0]?.lose();
    await settle();

    assert.deepEqual([made[0]?.stopped, made.length], [true, 2]);
    assert.equal(keeper.current, made[1]);
    assert.equal(log.matching(/the connection broke: starting anew, streams play on/).length, 1);
  });

  it('waits for what is not there, with growing pauses and one line', async () => {
    failure = new Error('no xenstore.');
    await keeper.start();
    assert.equal(keeper.current, undefined);
    await clock.advance(60_000);
    failure = undefined;
    await clock.advance(10_000);

    assert.equal(keeper.current, made[0]);
    assert.equal(log.matching(/no xenstore. Trying again until it works/).length, 1);
  });

  it('stops while it waits', async () => {
    failure = new Error('no xenstore.');
    await keeper.start();
    await keeper.stop();
    failure = undefined;
    await clock.advance(60_000);
    assert.equal(made.length, 0);
  });

  it('goes on with what breaks while it is being stopped', async () => {
    await keeper.start();
    const stopping = keeper.stop();
    made[0]?.lose();
    await stopping;
    assert.deepEqual([made.length, keeper.current], [1, undefined]);
  });
});
