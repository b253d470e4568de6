// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { watchUntil } from '../../../../controller/toolstack/watch-until.js';
import { FakeClock, FakeXenstore, settle } from '../../../lib/fake-ports.js';

const LIMIT_MS = 1000;

describe('waiting for nodes', () => {
  let xenstore: FakeXenstore;
  let clock: FakeClock;
  let aborter: AbortController;
  let looks: number;

  beforeEach(() => {
    [xenstore, clock, aborter, looks] = [new FakeXenstore(), new FakeClock(), new AbortController(), 0];
  });

  const wait = (look: () => boolean): Promise<string> =>
    watchUntil({ xenstore, clock }, ['/a', '/b'], { timeoutMs: LIMIT_MS, signal: aborter.signal }, () => {
      looks += 1;
      return Promise.resolve(look());
    }).finally(() => {
      assert.deepEqual([xenstore.watches.size, clock.pending], [0, 0], 'watches and timers left behind');
    });

  it('looks at once, and again only when something changes', async () => {
    const waiting = wait(() => xenstore.nodes.get('/b/c') === '1');
    await settle();
    const before = looks;
    await clock.advance(LIMIT_MS / 2);
    assert.equal(looks, before);

    xenstore.put('/b/c', '1');
    assert.equal(await waiting, 'done');
    assert.equal(await wait(() => true), 'done');
  });

  it('looks once more at its limit, so that what came with it counts', async () => {
    const missed = wait(() => clock.nowMs() >= 1_000_000 + LIMIT_MS);
    await clock.advance(LIMIT_MS);
    assert.equal(await missed, 'done');

    const late = wait(() => false);
    await clock.advance(LIMIT_MS);
    assert.equal(await late, 'timeout');
  });

  it('reaches its limit among any number of changes', async () => {
    const waiting = wait(() => {
      if (looks < 1000) xenstore.put('/a', String(looks));
      return false;
    });
    await clock.advance(LIMIT_MS);

    assert.equal(await waiting, 'timeout');
  });

  it('ends when it is told to, also before it has begun', async () => {
    const waiting = wait(() => false);
    await settle();
    aborter.abort();
    assert.equal(await waiting, 'aborted');
    assert.equal(await wait(() => false), 'aborted');
  });

  it('ends with the error of a look, or of a watch', async () => {
    const failure = new Error('on purpose');
    await assert.rejects(
      wait(() => {
        throw failure;
      }),
      failure,
    );
    xenstore.watch = () => Promise.reject(failure);
    await assert.rejects(
      wait(() => true),
      failure,
    );
  });
});
