// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { tryParseModargs } from '../../../../controller/sndif/modargs.js';
import { XenAudioError } from '../../../../controller/util/errors.js';
import { backend, BACKEND, CONTROL, FakeDom0, frontend, HOLD_MS, UUID } from '../../../lib/fake-dom0.js';
import { settle } from '../../../lib/fake-ports.js';

describe('DeviceRegistry', () => {
  let host: FakeDom0;

  beforeEach(async () => {
    host = new FakeDom0();
    await host.registry.start();
  });

  afterEach(async () => {
    await host.registry.stop();
    assert.equal(host.xenstore.watches.size, 0, 'no watch stays');
    assert.equal(host.clock.pending, 0, 'no timer stays');
  });

  it('answers a new card at once with versions, features and state 2', async () => {
    host.addCard(7);
    await settle();

    assert.equal(host.state(7), '2');
    for (const node of ['feature-latency', 'feature-wakeup', 'feature-rewind', 'feature-alive']) {
      assert.equal(host.xenstore.nodes.get(`${backend(7)}/${node}`), '1');
    }
    assert.equal(host.xenstore.nodes.get(`${backend(7)}/versions`), '2');
    const order = host.xenstore.history.map((entry) => `${entry.path} ${entry.value}`);
    assert.ok(order.indexOf(`${backend(7)}/versions 2`) < order.indexOf(`${backend(7)}/state 2`));
  });

  it('finds a card that was there before it started', async () => {
    host.addCard(7);
    await host.restart();

    assert.equal(host.state(7), '2');
  });

  it('holds state 2 before it connects a quick frontend', async () => {
    host.addCard(7);
    await settle();
    host.publish(7);

    await host.clock.advance(HOLD_MS - 1);
    assert.equal(host.state(7), '2');
    await host.clock.advance(1);
    assert.equal(host.state(7), '4');
  });

  it('loads one module a stream, with all that it needs to know', async () => {
    await host.connectCard(7);

    assert.equal(host.pulse.loaded.length, 1);
    assert.deepEqual(tryParseModargs(host.pulse.loaded[0]?.argument ?? ''), {
      domid: '7',
      devid: '0',
      pcm: '0',
      stream: '0',
      type: 'p',
      ring_ref: '8',
      event_channel: '11',
      evt_ring_ref: '9',
      evt_event_channel: '12',
      guest: 'guest7',
      uuid: UUID,
      formats: 'u8,s16_le,s16_be,s24_le,s24_be,s32_le,s32_be,float_le,float_be,mu_law,a_law',
      rates: '48000',
      channels_min: '1',
      channels_max: '8',
      buffer_max: '262144',
      rate_min: '48000',
      rate_max: '48000',
      linux_quirks: '1',
      latency: '0',
      wakeup: '0',
      rewind: '0',
      alive: '0',
      control: `${CONTROL}/7/0/0/0`,
    });
    assert.equal(host.xenstore.owners.get(`${CONTROL}/7/0/0/0`), 0);
  });

  it('connects streams of both directions', async () => {
    await host.connectCaptureCard(7);

    const modules = host.pulse.loaded.map((module) => tryParseModargs(module.argument));
    assert.deepEqual(
      modules.map((values) => ['stream', 'type', 'ring_ref', 'sink', 'source'].map((name) => values?.[name])),
      [
        ['0', 'p', '8', undefined, undefined],
        ['1', 'c', '18', undefined, undefined],
      ],
    );
  });

  for (const [title, leave] of [
    ['closes', '5'],
    ['is closed', '6'],
    ['starts again', '1'],
  ] as const) {
    it(`unloads and returns to 2 when the frontend ${title}`, async () => {
      await host.connectCard(7);

      host.xenstore.put(`${frontend(7)}/state`, leave);
      await settle();

      assert.equal(host.states(7), '1 2 4 6 2');
      assert.deepEqual([host.pulse.loaded.length, host.controlNodes().length], [0, 0]);
    });
  }

  it('refuses malformed nodes with guest, path and reason, and disturbs no other guest', async () => {
    await host.connectCard(8);
    host.addCard(7);
    host.publish(7, { 'ring-ref': '-1' });
    await host.clock.advance(HOLD_MS);

    assert.equal(host.states(7), '1 2 5 6');
    const [line] = host.log.matching(/^warning/);
    assert.match(line ?? '', /guest7\/0: refused: .*\/0\/0\/ring-ref: found "-1", expected grant reference/);
    assert.equal(host.log.matching(/^warning/).length, 1);
    assert.deepEqual([host.state(8), host.pulse.loaded.length], ['4', 1]);
  });

  it('lets a guest that keeps failing try again ever more rarely', async () => {
    host.addCard(7);
    const triesIn = async (timeMs: number): Promise<number> => {
      const before = host.log.matching(/refused/).length;
      for (let passedMs = 0; passedMs < timeMs; passedMs += 100) {
        const states = { '2': '3', '6': '1' }[host.state(7) ?? ''];
        if (states !== undefined) host.xenstore.put(`${frontend(7)}/state`, states);
        await host.clock.advance(100);
      }
      return host.log.matching(/refused/).length - before;
    };
    host.publish(7, { type: 'x' });

    const [first, later] = [await triesIn(20_000), await triesIn(20_000)];

    assert.ok(first >= 3 && first <= 6, `${first} tries in the first 20 s`);
    assert.ok(later <= 1, `${later} tries in the next 20 s`);
  });

  it('does not take what a refused frontend published for new while it stays in 3', async () => {
    host.addCard(7);
    host.publish(7, { type: 'x' });
    await host.clock.advance(120_000);

    assert.equal(host.states(7), '1 2 5 6');
  });

  it('gives the module its own reason when a load fails, and leaves nothing behind', async () => {
    host.pulse.failLoad = () => {
      host.xenstore.put(`${CONTROL}/7/0/0/0/state`, 'broken: cannot map grant 8');
      return new XenAudioError('pulse-refused', 'not loaded');
    };
    host.addCard(7);
    host.publish(7);
    await host.clock.advance(HOLD_MS);

    assert.equal(host.states(7), '1 2 5 6');
    assert.match(host.log.matching(/refused/)[0] ?? '', /its module says "broken: cannot map grant 8"/);
    assert.deepEqual(host.controlNodes(), []);
  });

  it('closes a stream that its module reports lost', async () => {
    await host.connectCard(7);

    host.xenstore.put(`${CONTROL}/7/0/0/0/state`, 'lost: the frontend is gone');
    await settle();

    assert.equal(host.states(7), '1 2 4 5 6');
    assert.match(
      host.log.matching(/connection closed/)[0] ?? '',
      /guest7\/0: connection closed: "lost: the frontend/,
    );
    host.xenstore.put(`${frontend(7)}/state`, '1');
    await settle();
    assert.equal(host.state(7), '2');
  });

  it('closes a stream whose module was unloaded behind its back', async () => {
    await host.connectCard(7);

    host.pulse.loaded.length = 0;
    host.pulse.changed();
    await settle();

    assert.equal(host.states(7), '1 2 4 5 6');
    assert.match(host.log.matching(/connection closed/)[0] ?? '', /module 10 is no longer loaded/);
  });

  it('closes when the sound server dies and connects again by itself when it is back', async () => {
    await host.connectCard(7);

    host.pulse.die();
    await settle();
    assert.equal(host.states(7), '1 2 4 5 6');
    host.xenstore.put(`${frontend(7)}/state`, '1');
    await settle();
    host.publish(7);
    await host.clock.advance(60_000);
    assert.equal(host.state(7), '2');

    host.pulse.comeBack();
    await settle();
    assert.equal(host.state(7), '4');
    assert.equal(host.pulse.loaded.length, 1);
  });

  it('answers the toolstack that removes a card, and forgets it with its directory', async () => {
    await host.connectCard(7);

    host.xenstore.put(`${backend(7)}/online`, '0');
    host.xenstore.put(`${backend(7)}/state`, '5');
    await settle();
    assert.equal(host.states(7), '1 2 4 5 6');
    assert.equal(host.pulse.loaded.length, 1, "Linux's driver frees its streams now, and talks to them");

    host.xenstore.put(`${frontend(7)}/state`, '1');
    await settle();
    assert.deepEqual([host.pulse.loaded.length, host.controlNodes().length], [0, 0]);

    host.xenstore.drop(backend(7));
    host.xenstore.drop(frontend(7));
    await settle();
    assert.equal(host.state(7), undefined, 'a removed directory is not made anew');
    assert.equal(host.log.matching(/guest7\/0: gone/).length, 1);
  });

  it("waits three seconds for Linux's driver to let go, and no longer", async () => {
    await host.connectCard(7);
    host.xenstore.put(`${backend(7)}/online`, '0');
    host.xenstore.put(`${backend(7)}/state`, '5');

    await host.clock.advance(2999);
    assert.equal(host.pulse.loaded.length, 1);
    await host.clock.advance(1);

    assert.deepEqual([host.pulse.loaded.length, host.controlNodes().length], [0, 0]);
    assert.equal(host.state(7), '6');
  });

  it('lets go of a domain that dies', async () => {
    await host.connectCard(7);

    host.xenstore.introduced.delete(7);
    host.xenstore.fire('@releaseDomain');
    await settle();

    assert.deepEqual([host.pulse.loaded.length, host.controlNodes().length], [0, 0]);
    assert.equal(host.state(7), '6');
  });

  it('lets go when the backend directory vanishes', async () => {
    await host.connectCard(7);

    host.xenstore.drop(`${BACKEND}/7`);
    await settle();

    assert.deepEqual([host.pulse.loaded.length, host.controlNodes().length], [0, 0]);
    assert.equal(host.state(7), undefined);
  });

  it('leaves a stream playing when it stops, and adopts it when it starts', async () => {
    await host.connectCard(7);
    const [module] = host.pulse.loaded;

    await host.restart();

    assert.deepEqual(host.pulse.loaded, [module]);
    assert.equal(host.states(7), '1 2 4');
    assert.equal(host.log.matching(/adopted 1 running stream/).length, 1);
    host.xenstore.put(`${frontend(7)}/state`, '5');
    await settle();
    assert.equal(host.pulse.loaded.length, 0);
  });

  it('closes a connection whose module is gone when it starts', async () => {
    await host.connectCard(7);
    await host.registry.stop();
    host.pulse.loaded.length = 0;

    await host.restart();

    assert.equal(host.states(7), '1 2 4 5 6');
  });

  it('unloads modules that serve other rings or no device when it starts', async () => {
    await host.connectCard(7);
    await host.connectCard(8);
    await host.registry.stop();
    host.xenstore.put(`${frontend(7)}/0/0/ring-ref`, '99');
    host.xenstore.drop(`${BACKEND}/8`);
    await host.pulse.loadModule('module-null-sink', 'domid="8" devid="0"');

    await host.restart();

    assert.deepEqual(
      host.pulse.loaded.map((module) => module.name),
      ['module-null-sink'],
    );
    assert.equal(host.states(7), '1 2 4 5 6');
  });

  it('never follows a frontend link that leads elsewhere', async () => {
    host.addCard(7);
    await settle();
    host.xenstore.put(`${backend(7)}/frontend`, '/local/domain/0/backend/vbd/3/0');
    host.xenstore.put(`${backend(7)}/state`, '1');
    await settle();

    assert.equal(host.state(7), '1');
    assert.equal(host.log.matching(/^warning .*expected \/local\/domain\/7\/device\/vsnd\/0/).length, 1);
  });

  it('bounds the work that a guest causes by rewriting its state', async () => {
    await host.connectCard(7);
    let reads = 0;
    const read = host.xenstore.read.bind(host.xenstore);
    host.xenstore.read = (path) => {
      reads += 1;
      return read(path);
    };

    for (let write = 0; write < 5000; write += 1) {
      host.xenstore.put(`${frontend(7)}/state`, write % 2 === 0 ? '3' : '4');
      if (write % 5 === 0) await settle();
    }
    host.xenstore.put(`${frontend(7)}/state`, '5');
    await host.clock.advance(1000);

    assert.ok(reads < 1500, `${reads} reads for 5000 writes`);
    assert.equal(host.state(7), '2');
  });

  it('counts the streams of all cards of a guest against its limit', async () => {
    for (let devid = 0; devid < 17; devid += 1) host.addCard(7, devid);
    await settle();
    for (let devid = 0; devid < 17; devid += 1) host.publish(7, {}, devid);
    await host.clock.advance(HOLD_MS);

    assert.equal(host.pulse.loaded.length, 16);
    assert.equal(host.log.matching(/refused: the guest would have 17 streams/).length, 1);
  });
});
