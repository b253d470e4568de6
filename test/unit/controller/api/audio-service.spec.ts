// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { AudioService } from '../../../../controller/api/audio-service.js';
import { ApiError } from '../../../../controller/api/audio-api.js';
import { FakeDom0, frontend } from '../../../lib/fake-dom0.js';
import { settle } from '../../../lib/fake-ports.js';

const SUSPEND_TIMEOUT_MS = 300_000;

describe('AudioService: suspend', () => {
  let host: FakeDom0;
  let service: AudioService;

  beforeEach(async () => {
    host = new FakeDom0();
    await host.registry.start();
    service = new AudioService({
      session: () => ({
        guests: host.guests,
        cards: host.registry,
        toolstack: {
          findDomain: () => assert.fail('not asked for'),
          attach: () => assert.fail('not asked for'),
          detach: () => assert.fail('not asked for'),
        },
      }),
      pulse: host.pulse,
      clock: host.clock,
      log: host.log,
      manager: () => assert.fail('not asked for'),
      reload: () => assert.fail('not asked for'),
    });
    host.suspendedDomidOf = (id) => service.suspendedDomidOf(id);
    await host.connectCard(7, { version: '2' });
  });

  afterEach(async () => {
    await service.stop();
    await host.registry.stop();
    assert.equal(host.clock.pending, 0, 'no timer stays');
  });

  /** Whether PrepareSuspend has come back. */
  const prepare = (): { done: boolean; result: Promise<void> } => {
    const call = { done: false, result: service.prepareSuspend('guest7') };
    call.result.then(
      () => (call.done = true),
      () => (call.done = true),
    );
    return call;
  };

  const letGo = async (domid = 7): Promise<void> => {
    host.xenstore.put(`${frontend(domid)}/state`, '6');
    await settle();
  };

  const prepare8 = async (): Promise<{ done: boolean }> => {
    await host.connectCard(8);
    const call = { done: false };
    void service.prepareSuspend('guest8').then(() => (call.done = true));
    await settle();
    return call;
  };

  it('is prepared when the guest has closed as well what it had open', async () => {
    const call = prepare();
    await settle();
    assert.deepEqual([host.state(7), host.pulse.loaded.length, call.done], ['6', 0, false]);
    await letGo();
    assert.equal(call.done, true);
    assert.equal(host.guest('guest7').state().state, 'suspended');

    await service.finishSuspend('guest7');
    await settle();
    assert.equal(host.state(7), '2');
  });

  it('cannot be kept off by a guest that closes nothing', async () => {
    const call = prepare();
    await host.clock.advance(5_000);
    assert.equal(call.done, true);
    await call.result;
    assert.equal(host.guest('guest7').state().state, 'suspended');
    const again = prepare();
    await host.clock.advance(5_000);
    await again.result;
    assert.equal(host.log.matching(/guest7: suspended with event channels open/).length, 1);
  });

  it("answers Linux's driver until it has let go, and is prepared then", async () => {
    const call = await prepare8();
    assert.deepEqual([host.state(8), host.pulse.loaded.length, call.done], ['6', 2, false]);
    await letGo(8);
    assert.deepEqual([host.pulse.loaded.length, call.done], [1, true]);
  });

  it('holds over a connection to xenstore that was lost', async () => {
    const call = prepare();
    await letGo();
    await call.result;
    await host.restart();
    assert.deepEqual([host.state(7), host.guest('guest7').state().state], ['6', 'suspended']);
    await service.finishSuspend('guest7');
    await settle();
    assert.equal(host.state(7), '2');
  });

  it('is not ended by another that failed before it', async () => {
    let unloaded = (): void => undefined;
    host.pulse.unloadModule = () => new Promise<void>((resolve) => (unloaded = resolve));
    const first = assert.rejects(service.prepareSuspend('guest7'), { code: 'Timeout' });
    await host.clock.advance(9_000);
    const second = prepare();
    await host.clock.advance(1_000);
    await first;
    assert.equal(host.guest('guest7').state().state, 'suspended');
    unloaded();
    await letGo();
    await second.result;
  });

  it("waits three seconds for Linux's driver", async () => {
    const call = await prepare8();
    await host.clock.advance(2999);
    assert.equal(call.done, false);
    await host.clock.advance(1);
    assert.deepEqual([host.pulse.loaded.length, call.done], [1, true]);
  });

  it('waits for no frontend that had died before', async () => {
    await host.report(7, { state: 'lost: the frontend has died' }, 0);
    assert.deepEqual([host.state(7), host.pulse.loaded.length], ['6', 0]);
    const call = prepare();
    await settle();
    assert.equal(call.done, true);
  });

  it('fails, and is over, when the sound server does not let go', async () => {
    let unloaded = (): void => undefined;
    host.pulse.unloadModule = () => new Promise<void>((resolve) => (unloaded = resolve));
    const failed = assert.rejects(
      service.prepareSuspend('guest7'),
      (error) =>
        error instanceof ApiError && error.code === 'Timeout' && error.message.includes('guest7: not all'),
    );
    await host.clock.advance(10_000);
    await failed;
    assert.notEqual(host.guest('guest7').state().state, 'suspended');
    unloaded();
  });

  it('waits for a connection that is just being made', async () => {
    host.addCard(8);
    await host.clock.advance(0);
    host.publish(8);
    let loaded = (): void => undefined;
    const load = host.pulse.loadModule.bind(host.pulse);
    host.pulse.loadModule = async (name, argument) => {
      await new Promise<void>((resolve) => (loaded = resolve));
      return load(name, argument);
    };
    await host.clock.advance(1000);
    let done = false;
    const call = service.prepareSuspend('guest8').then(() => (done = true));
    await settle();
    assert.equal(done, false);
    loaded();
    await settle();
    host.xenstore.put(`${frontend(8)}/state`, '6');
    await call;
    assert.equal(host.pulse.loaded.length, 1, 'only that of the other guest');
  });

  it('is over by itself, unless it is prepared again', async () => {
    const call = prepare();
    await letGo();
    await call.result;
    await host.clock.advance(SUSPEND_TIMEOUT_MS - 1);
    await service.prepareSuspend('guest7');
    await host.clock.advance(SUSPEND_TIMEOUT_MS - 1);
    assert.equal(host.state(7), '6');
    await host.clock.advance(1);
    assert.equal(host.state(7), '2');
  });
});
