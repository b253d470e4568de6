// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { ApiError } from '../../../../controller/api/audio-api.js';
import { AutoAttach } from '../../../../controller/toolstack/auto-attach.js';
import type { AttachPolicy } from '../../../../controller/toolstack/decision.js';
import { XenAudioError } from '../../../../controller/util/errors.js';
import { FakeClock, FakeLog, FakeXenstore, settle } from '../../../lib/fake-ports.js';

const HOME = '/local/domain/7';
const UUID = '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10';

describe('attaching cards to guests that start', () => {
  let xenstore: FakeXenstore;
  let clock: FakeClock;
  let log: FakeLog;
  let policy: AttachPolicy;
  let attached: string[];
  /** What the next attaches throw. */
  let failure: Error | undefined;
  let auto: AutoAttach;

  const toolstack = {
    attach: (domid: number, layout: string): Promise<number[]> => {
      attached.push(`${domid} ${layout}`);
      if (failure !== undefined) return Promise.reject(failure);
      xenstore.put(`/libxl/${domid}/device/vsnd/0/backend`, `/local/domain/0/backend/vsnd/${domid}/0`);
      return Promise.resolve([0]);
    },
  };

  /** As a restart of the daemon does. */
  const start = async (): Promise<void> => {
    auto = new AutoAttach({ ownDomid: 0, xenstore, clock, log }, toolstack, (guest) =>
      guest.name === 'music' ? policy : 'no',
    );
    await auto.start();
    await settle();
  };

  /** A domain as libxl makes it. */
  const build = async (domid = 7, uuid = UUID): Promise<void> => {
    xenstore.putAll(`/local/domain/${domid}`, {
      name: 'music',
      vm: `/vm/${uuid}`,
      'control/feature-poweroff': '',
      'control/platform-feature-multiprocessor-suspend': '1',
      'device/vif/0/state': '1',
      'device/suspend/event-channel': '',
    });
    xenstore.put(`/libxl/${domid}`, '');
    xenstore.put(`/libxl/${domid}/device`, '');
    xenstore.introduced.add(domid);
    xenstore.fire('@introduceDomain');
    await settle();
  };

  const passes = (ms: number): Promise<void> => clock.advance(ms);

  beforeEach(() => {
    [xenstore, clock, log] = [new FakeXenstore(), new FakeClock(), new FakeLog()];
    [policy, attached, failure] = ['modules', [], undefined];
  });

  afterEach(async () => {
    await auto.stop();
    assert.deepEqual([xenstore.watches.size, clock.pending], [0, 0], 'watches and timers left behind');
  });

  it('waits until the guest runs, however long its toolstack takes', async () => {
    await start();
    await build();
    await passes(60_000);
    xenstore.put('/libxl/7/device/vif/0/state', '1');
    await passes(60_000);
    assert.deepEqual(attached, []);

    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(30_000);
    assert.deepEqual(attached, ['7 modules']);
    assert.equal(clock.pending, 0);
  });

  it('takes a frontend that moves for a sign of life as well', async () => {
    await start();
    await build();
    xenstore.put(`${HOME}/device/vif/0/state`, '4');
    await passes(1000);

    assert.deepEqual(attached, ['7 modules']);
  });

  it('does not attach what the configuration of the guest has', async () => {
    await start();
    await build();
    xenstore.put('/libxl/7/device/vsnd/0/backend', '/local/domain/0/backend/vsnd/7/0');
    xenstore.put(`${HOME}/device/vif/0/state`, '4');
    await passes(60_000);

    assert.deepEqual([attached, clock.pending], [[], 0]);
  });

  it('leaves alone whom the policy does not name, and helpers of domains', async () => {
    await start();
    await build();
    await build(8, '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b11');
    xenstore.put(`${HOME}/target`, '5');
    xenstore.put('/local/domain/8/name', 'other');
    for (const domid of [7, 8]) xenstore.put(`/local/domain/${domid}/control/feature-poweroff`, '1');
    await passes(60_000);

    assert.deepEqual(attached, []);
  });

  it('attaches once, also over restarts, and never again what somebody took away', async () => {
    await start();
    await build();
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(5000);
    await auto.stop();
    await start();
    await passes(5000);
    assert.deepEqual(attached, ['7 modules']);

    xenstore.drop('/libxl/7/device/vsnd');
    xenstore.fire('@introduceDomain');
    await passes(5000);
    await auto.stop();
    await start();
    await passes(5000);
    assert.deepEqual(attached, ['7 modules']);
  });

  it('attaches to a guest that started while the daemon did not run', async () => {
    await build();
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await start();

    assert.deepEqual(attached, ['7 modules']);
  });

  it('knows the next domain of a number from the last', async () => {
    await start();
    await build();
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(1000);
    for (const path of [HOME, '/libxl/7']) xenstore.drop(path);
    await build(7, '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b12');
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(1000);

    assert.deepEqual(attached, ['7 modules', '7 modules']);
  });

  it('tries again after a failure, and complains once', async () => {
    failure = new ApiError('Timeout', 'nobody answered');
    await start();
    await build();
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(95_000);
    assert.equal(attached.length, 4);
    assert.equal(log.matching(/warning auto-attach music: no card yet.*nobody answered/).length, 1);

    failure = undefined;
    await passes(60_000);
    assert.deepEqual([attached.length, clock.pending], [5, 0]);
  });

  it('says nothing when the guest goes meanwhile', async () => {
    failure = new ApiError('NoSuchGuest', 'domain 7 runs no more');
    await start();
    await build();
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(1000);
    xenstore.introduced.delete(7);
    xenstore.fire('@releaseDomain');
    await settle();

    assert.deepEqual([attached, log.lines, clock.pending], [['7 modules'], [], 0]);
  });

  it('asks the policy again when that has changed', async () => {
    policy = 'no';
    await start();
    await build();
    xenstore.put(`${HOME}/control/feature-poweroff`, '1');
    await passes(60_000);
    assert.deepEqual(attached, []);

    policy = 'kernel';
    auto.reconsider();
    await settle();
    assert.deepEqual(attached, ['7 kernel']);
  });

  it('goes on when xenstore refuses something once', async () => {
    await start();
    await build();
    xenstore.failWrite = () => new XenAudioError('xenstore', 'EIO');
    xenstore.put('/libxl/7/device/vsnd/0/backend', '/local/domain/0/backend/vsnd/7/0');
    await passes(3000);
    assert.equal(log.matching(/warning auto-attach EIO/).length, 1);

    xenstore.failWrite = undefined;
    await passes(1000);
    assert.equal(clock.pending, 0);
  });
});
