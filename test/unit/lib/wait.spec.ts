// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { WaitTimeout, waitFor, within } from '../../lib/wait.js';

describe('waitFor', () => {
  it('resolves to the first value that is there', async () => {
    let looks = 0;
    const value = await waitFor('three looks', () => ((looks += 1) < 3 ? undefined : looks), {
      intervalMs: 1,
    });
    assert.equal(value, 3);
  });

  it('takes 0 and an empty text as values', async () => {
    assert.equal(await waitFor('zero', () => 0), 0);
    assert.equal(await waitFor('an empty text', () => ''), '');
  });

  it('names what was awaited, the last failure and the detail when the time is up', async () => {
    const probe = (): never => {
      throw new Error('connection refused');
    };
    await assert.rejects(
      waitFor('the server', probe, { timeoutMs: 5, intervalMs: 1, detail: () => 'log: nothing' }),
      (error: unknown) =>
        error instanceof WaitTimeout &&
        error.message.includes('waiting for the server') &&
        error.message.includes('connection refused') &&
        error.message.includes('log: nothing'),
    );
  });

  it('ends early when its signal is aborted', async () => {
    const signal = AbortSignal.abort(new Error('stopped'));
    await assert.rejects(
      waitFor('never', () => false, { signal }),
      /stopped/,
    );
  });
});

describe('within', () => {
  it('passes the result on', async () => {
    assert.equal(await within('a value', 100, Promise.resolve(7)), 7);
  });

  it('rejects at the limit', async () => {
    await assert.rejects(within('nothing', 5, new Promise(() => undefined)), WaitTimeout);
  });
});
