// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { tryParseModargs } from '../../../../controller/sndif/modargs.js';
import { XenAudioError } from '../../../../controller/util/errors.js';
import {
  backend,
  CAPTURE_STREAM,
  CONTROL,
  FakeDom0,
  frontend,
  HOLD_MS,
  UUID,
} from '../../../lib/fake-dom0.js';
import { settle } from '../../../lib/fake-ports.js';

const PLAYBACK = `${CONTROL}/7/0/0/0`;
const CAPTURE = `${CONTROL}/7/0/0/1`;

/** What a frontend of ours publishes of itself. */
const OURS = { version: '2' };

describe('Guests, for the cards of a registry', () => {
  let host: FakeDom0;

  const begin = async (policies: FakeDom0['policies'] = {}): Promise<void> => {
    host = new FakeDom0();
    host.policies = policies;
    await host.registry.start();
  };

  const said = (pattern: RegExp): number => host.log.matching(pattern).length;
  const node = (path: string): string | undefined => host.xenstore.nodes.get(path);
  const record = (): unknown => host.records.get(UUID);

  afterEach(async () => {
    await host.registry.stop();
    assert.equal(host.xenstore.watches.size, 0, 'no watch stays');
    assert.equal(host.clock.pending, 0, 'no timer stays');
  });

  describe('consent', () => {
    it('says that nobody may record before there is a module that could', async () => {
      await begin();
      let toldFirst: string | undefined;
      host.pulse.failLoad = (argument) => {
        if (argument.includes('type="c"')) toldFirst = host.mayRecord(7);
        return undefined;
      };

      await host.connectCaptureCard(7);

      assert.equal(toldFirst, '0');
      assert.equal(node(`${PLAYBACK}/capture`), undefined, 'not for playback');
      assert.equal(said(/^info guest guest7: may not record: policy says/), 1);
    });

    it('gives leave and takes it in running streams, and touches nothing else', async () => {
      await begin();
      await host.connectCaptureCard(7);
      await host.connectCaptureCard(8);
      const loaded = [...host.pulse.loaded];
      const writes = host.xenstore.history.length;

      await host.setPolicies({ guest7: { capture: 'allow' } });
      await host.setPolicies({ guest7: { capture: 'allow' }, guest9: { capture: 'allow' } });
      await host.setPolicies({});

      assert.deepEqual(host.xenstore.valuesOf(`${CAPTURE}/capture`), ['0', '1', '0']);
      assert.equal(host.xenstore.history.length, writes + 2, 'two writes in all, none for guest 8');
      assert.deepEqual([host.states(7), host.pulse.loaded], ['1 2 4', loaded]);
    });

    it('takes leave at once from a guest that keeps its card busy', async () => {
      await begin({ guest7: { capture: 'allow' } });
      await host.connectCaptureCard(7);
      for (let write = 0; write < 500; write += 1) {
        host.xenstore.put(`${frontend(7)}/state`, write % 2 === 0 ? '3' : '4');
        await settle();
      }

      await host.setPolicies({});

      assert.equal(host.mayRecord(7), '0');
    });

    it('tells an adopted stream what is decided now', async () => {
      await begin({ guest7: { capture: 'allow' } });
      await host.connectCaptureCard(7);
      host.policies = {};
      await host.restart();

      assert.equal(host.mayRecord(7), '0');
      assert.equal(said(/adopted 2 running stream/), 1);
    });

    it('does not take a module of the other direction for its own', async () => {
      await begin();
      await host.connectCaptureCard(7);
      await host.registry.stop();
      host.xenstore.put(`${frontend(7)}/0/0/type`, 'c');

      await host.restart();

      assert.equal(said(/adopted/), 0);
      assert.equal(host.pulse.loaded.length, 0);
    });

    it('asks once when a guest that is to be asked for wants to record, and again when time is up', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      const guest = host.guest('guest7');

      for (let turn = 0; turn < 5; turn += 1) {
        await host.report(7, { requested: '1' });
        await host.report(7, { requested: '0' });
      }
      assert.deepEqual(host.asked, [guest.id]);
      await host.clock.advance(30_000);
      await host.report(7, { requested: '1' });
      assert.deepEqual(host.asked, [guest.id, guest.id]);
      assert.equal(host.mayRecord(7), '0');
    });

    it('says by when it must be answered, and that it has been', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      const guest = host.guest('guest7');
      const ask = async (): Promise<void> => {
        await host.clock.advance(30_000);
        await host.report(7, { requested: '0' });
        await host.report(7, { requested: '1' });
        assert.equal(guest.state().captureDeadlineUsec, BigInt(host.clock.wallMs() + 30_000) * 1000n);
      };

      await ask();
      await host.report(7, { requested: '0' });
      assert.equal(guest.state().captureDeadlineUsec, 0n, 'no longer asked');
      await ask();
      await host.clock.advance(30_000);
      assert.equal(guest.state().captureDeadlineUsec, 0n, 'too late');
      await ask();
      await guest.denyCapture();
      assert.equal(guest.state().captureDeadlineUsec, 0n, 'denied');
      await ask();
      await guest.allowCapture('once');
      assert.equal(guest.state().captureDeadlineUsec, 0n, 'allowed');
    });

    it('gives leave for one recording', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      const guest = host.guest('guest7');

      await guest.allowCapture('once');
      await settle();
      assert.equal(host.mayRecord(7), '1');
      await host.report(7, { requested: '1', active: '1' });
      assert.equal(host.mayRecord(7), '1');
      await host.report(7, { requested: '0', active: '0' });
      assert.equal(host.mayRecord(7), '0');
      assert.deepEqual(record(), { capture: undefined });
    });

    it('ends leave for one recording that has ended while no controller ran, and no other', async () => {
      await begin({ guest7: { capture: 'ask' }, guest8: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      await host.connectCaptureCard(8);
      for (const name of ['guest7', 'guest8']) await host.guest(name).allowCapture('once');
      for (const domid of [7, 8]) await host.report(domid, { requested: '0' });
      await host.report(7, { requested: '1' });
      await host.restart();
      await host.clock.advance(1_000);
      assert.deepEqual([host.mayRecord(7), host.mayRecord(8)], ['1', '1'], 'one goes on, one has not begun');

      await host.registry.stop();
      await host.report(7, { requested: '0' });
      await host.restart();
      await host.clock.advance(1_000);
      assert.deepEqual([host.mayRecord(7), host.mayRecord(8)], ['0', '1']);
    });

    it('counts what was asked before it was allowed as the one recording', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      await host.report(7, { requested: '1' });
      await host.guest('guest7').allowCapture('once');
      await host.report(7, { requested: '0' });
      assert.equal(host.mayRecord(7), '0');
    });

    it('asks anew, after a restart, for a guest that still asks', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      await host.report(7, { requested: '1' });
      await host.restart();
      assert.equal(host.asked.length, 2);
    });

    it('hears later what it could not read', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      const read = host.xenstore.read.bind(host.xenstore);
      host.xenstore.read = (path) =>
        path.startsWith(CONTROL) ? Promise.reject(new XenAudioError('xenstore', 'ENOMEM')) : read(path);
      await host.report(7, { requested: '1' });
      await host.clock.advance(5_000);
      assert.deepEqual([host.asked.length, said(/guest7\/0: stream 0\/1: ENOMEM/)], [0, 1]);

      host.xenstore.read = read;
      await host.clock.advance(1_000);
      assert.equal(host.asked.length, 1);
    });

    it('gives leave for a time, also over a restart', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      await host.guest('guest7').allowCapture({ untilMs: host.clock.wallMs() + 60_000 });
      await host.restart();

      assert.equal(host.mayRecord(7), '1');
      assert.equal(
        host.guest('guest7').state().captureAllowedUntilUsec,
        BigInt(host.clock.wallMs() + 60_000) * 1000n,
      );
      await host.clock.advance(59_000);
      assert.equal(host.mayRecord(7), '1');
      await host.clock.advance(1_000);
      assert.equal(host.mayRecord(7), '0');
      assert.equal(host.guest('guest7').state().captureAllowedUntilUsec, 0n);
    });

    it('keeps leave that was given always, and a no against policy', async () => {
      await begin({ guest7: { capture: 'ask' }, guest8: { capture: 'allow' } });
      await host.connectCaptureCard(7);
      await host.connectCaptureCard(8);
      await host.guest('guest7').allowCapture('always');
      await host.guest('guest8').denyCapture();
      await host.restart();

      assert.deepEqual([host.mayRecord(7), host.mayRecord(8)], ['1', '0']);
      assert.deepEqual(
        host.guests.all.map((guest) => guest.state().capturePolicy),
        ['allow', 'deny'],
      );
    });

    it('refuses leave that policy denies', async () => {
      await begin({ guest7: { capture: 'deny' } });
      await host.connectCaptureCard(7);

      await assert.rejects(host.guest('guest7').allowCapture('always'), { code: 'PolicyDenied' });
      assert.equal(host.mayRecord(7), '0');
    });

    it('resolves a no when samples have stopped, or says that they have not', async () => {
      await begin({ guest7: { capture: 'allow' } });
      await host.connectCaptureCard(7);
      await host.report(7, { requested: '1', active: '1' });
      let denied = false;
      const denying = host
        .guest('guest7')
        .denyCapture()
        .then(() => (denied = true));
      await settle();
      assert.deepEqual([host.mayRecord(7), denied], ['0', false]);

      await host.report(7, { active: '0' });
      await denying;

      await host.guest('guest7').allowCapture('always');
      await host.report(7, { active: '1' });
      const stuck = assert.rejects(host.guest('guest7').denyCapture(), { code: 'Timeout' });
      await host.clock.advance(2_000);
      await stuck;
    });

    it('logs who asks in vain and who records, not more than a log can bear', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7);
      await host.report(7, { requested: '1', active: '0' });
      assert.equal(said(/guest7\/0: stream 0\/1 asks to record and hears silence/), 1);

      for (let turn = 0; turn < 500; turn += 1) {
        await host.report(7, { requested: '1', active: '1' });
        await host.report(7, { requested: '0', active: '0' });
        await host.clock.advance(10);
      }
      assert.ok(said(/^info guest guest7\/0/) < 20, `${said(/^info guest/)} lines`);
    });

    it('leaves nothing of a stream whose module is not loaded', async () => {
      await begin({ guest7: { capture: 'allow' } });
      host.pulse.failLoad = (argument) =>
        argument.includes('type="c"') ? new XenAudioError('pulse-refused', 'no') : undefined;
      host.addCard(7);
      host.xenstore.putAll(`${frontend(7)}/0/1`, CAPTURE_STREAM);
      host.publish(7);
      await host.clock.advance(HOLD_MS);
      await host.setPolicies({});

      assert.equal(host.states(7), '1 2 5 6');
      assert.deepEqual([host.controlNodes(), host.pulse.loaded], [[], []]);
    });
  });

  describe('volume', () => {
    it('begins with what policy says, and with what was last when it is known', async () => {
      await begin({
        guest7: { volume: 30_000, mute: true, volumeCap: 50_000 },
        guest8: { volumeCap: 50_000 },
      });
      host.records.set(UUID, { volume: 60_000 });
      await host.connectCard(7);
      await host.connectCard(8);

      assert.deepEqual(
        ['volume-set', 'mute-set', 'volume-cap'].map((name) => node(`${PLAYBACK}/${name}`)),
        ['1 50000', '1 1', '50000'],
      );
    });

    it('follows the mixer, keeps it, and says nothing back', async () => {
      await begin();
      await host.connectCard(7);
      await host.report(7, { volume: '1 65536', mute: '1 0' }, 0);

      await host.report(7, { volume: '1 20000' }, 0);

      assert.equal(host.guest('guest7').state().volume, 20_000);
      assert.deepEqual(record(), { volume: 20_000, mute: false });
      assert.deepEqual(host.xenstore.valuesOf(`${PLAYBACK}/volume-set`), ['1 65536']);
    });

    it('sets it once, and takes what crossed with that for history', async () => {
      await begin();
      await host.connectCard(7);
      await host.guest('guest7').setVolume(10_000);
      await host.report(7, { volume: '1 40000' }, 0);

      assert.equal(node(`${PLAYBACK}/volume-set`), '2 10000');
      assert.equal(host.guest('guest7').state().volume, 10_000);
    });

    it('does not apply what is kept over what the mixer says of an adopted stream', async () => {
      await begin();
      await host.connectCard(7);
      await host.report(7, { volume: '1 40000', mute: '1 1' }, 0);
      host.records.set(UUID, { volume: 10_000, mute: false });
      await host.restart();

      assert.deepEqual(host.xenstore.valuesOf(`${PLAYBACK}/volume-set`), ['1 65536']);
      assert.deepEqual(record(), { volume: 40_000, mute: true });
    });

    it('lowers it when the cap falls below, and leaves it there when the cap rises', async () => {
      await begin();
      await host.connectCard(7);
      await host.setPolicies({ guest7: { volumeCap: 30_000 } });
      await host.setPolicies({ guest7: { volumeCap: 60_000 } });

      assert.deepEqual(host.xenstore.valuesOf(`${PLAYBACK}/volume-cap`), ['65536', '30000', '60000']);
      assert.equal(node(`${PLAYBACK}/volume-set`), '2 30000');
      assert.equal(host.guest('guest7').state().volume, 30_000);
    });

    it('ignores what no module would say, once with a warning', async () => {
      await begin();
      await host.connectCard(7);
      for (const volume of ['1 -3', '1', 'loud', '1 99999999999', '']) await host.report(7, { volume }, 0);

      assert.equal(host.guest('guest7').state().volume, 65_536);
      assert.equal(
        said(/^warning stream guest7\/0: stream 0\/0: .*\/volume: expected .*found "1 -3": ignored/),
        1,
      );
      assert.equal(said(/^warning/), 1);
    });
  });

  describe('routes', () => {
    it('names sink and source of the policy, until somebody says otherwise', async () => {
      await begin({ guest7: { sink: 'out', source: 'mic' } });
      await host.connectCaptureCard(7);
      const guest = host.guest('guest7');

      await guest.setRoute('playback', 'headset');
      await guest.setRoute('playback', '');
      await guest.setRoute('capture', 'other');

      assert.deepEqual(host.xenstore.valuesOf(`${PLAYBACK}/device-set`), ['1 out', '2 headset', '3 out']);
      assert.deepEqual(host.xenstore.valuesOf(`${CAPTURE}/device-set`), ['1 mic', '2 other']);
      await host.restart();
      assert.equal(node(`${CAPTURE}/device-set`), '2 other', 'kept, and not said again');
    });
  });

  describe('playback', () => {
    it('may be forbidden, in running streams as well', async () => {
      await begin();
      await host.connectCard(7);
      await host.setPolicies({ guest7: { playback: 'deny' } });
      assert.deepEqual(host.xenstore.valuesOf(`${PLAYBACK}/playback`), ['1', '0']);
      assert.equal(host.guest('guest7').state().playbackAllowed, false);
    });
  });

  it('tell streams again what xenstore did not take', async () => {
    await begin();
    await host.connectCard(7);
    await host.connectCard(8);
    const write = host.xenstore.write.bind(host.xenstore);
    host.xenstore.write = (path, value) =>
      path.startsWith(`${CONTROL}/7`)
        ? Promise.reject(new XenAudioError('xenstore', 'ENOMEM'))
        : write(path, value);
    const policies = { guest7: { volumeCap: 30_000 }, guest8: { volumeCap: 30_000 } };
    await assert.rejects(host.setPolicies(policies), /ENOMEM/);
    assert.equal(node(`${CONTROL}/8/0/0/0/volume-cap`), '30000', 'of the other guest at once');

    host.xenstore.write = write;
    await host.clock.advance(1_000);
    assert.equal(node(`${PLAYBACK}/volume-cap`), '30000');
  });

  describe('suspend', () => {
    it('disconnects all cards and holds them until it is over', async () => {
      await begin();
      await host.connectCard(7, OURS);
      const guest = host.guest('guest7');

      guest.setSuspended(true);
      host.registry.lookAt(7);
      await settle();
      assert.deepEqual([host.states(7), host.pulse.loaded.length], ['1 2 4 5 6', 0]);
      host.xenstore.put(`${frontend(7)}/state`, '6');
      await host.clock.advance(60_000);
      assert.deepEqual([host.state(7), guest.state().state], ['6', 'suspended']);

      guest.setSuspended(false);
      host.registry.lookAt(7);
      await settle();
      assert.equal(host.state(7), '2');
    });

    it('interrupts a recording, which goes on under the leave of before', async () => {
      await begin({ guest7: { capture: 'ask' } });
      await host.connectCaptureCard(7, OURS);
      const guest = host.guest('guest7');
      await guest.allowCapture('once');
      await host.report(7, { requested: '1', active: '1' });

      guest.setSuspended(true);
      host.registry.lookAt(7);
      await settle();
      assert.equal(host.records.get(UUID)?.capture, 'once-begun');

      guest.setSuspended(false);
      host.xenstore.put(`${frontend(7)}/state`, '6');
      await settle();
      await host.connectAgain(7);
      assert.equal(host.mayRecord(7), '1');
      await host.report(7, { requested: '1' });
      await host.report(7, { requested: '0' });
      assert.equal(host.records.get(UUID)?.capture, undefined, 'it ends with the recording');
    });

    it('holds the domain that a guest still has when the one that was to follow it goes', async () => {
      await begin();
      await host.connectCard(7);
      host.addCard(9, 0, UUID);
      await settle();
      const [guest] = host.guests.all;
      assert.equal(guest?.state().domid, 9);
      guest.setSuspended(true);
      host.xenstore.introduced.delete(9);
      for (const path of [backend(9), frontend(9)]) host.xenstore.drop(path);
      host.xenstore.fire('@releaseDomain');
      await settle();
      assert.equal(guest.state().domid, 7);
      guest.setSuspended(true);
      assert.deepEqual([guest.isSuspended(7), guest.isSuspended(9)], [true, false]);
    });

    it('goes on with another connection to xenstore', async () => {
      await begin();
      await host.connectCard(7, OURS);
      const { id } = host.guest('guest7');
      host.suspendedDomidOf = (guest) => (guest === id ? 7 : undefined);
      await host.restart();
      assert.deepEqual([host.guest('guest7').state().state, host.pulse.loaded.length], ['suspended', 0]);
    });

    it('is over when the guest comes back as another domain', async () => {
      await begin();
      await host.connectCard(7);
      host.guest('guest7').setSuspended(true);
      host.addCard(9, 0, UUID);
      await settle();

      assert.deepEqual([host.state(9), host.guests.all.length], ['2', 1]);
      assert.equal(host.guests.all[0]?.state().domid, 9);
    });
  });

  describe('a name', () => {
    it('is that of the guest while it migrates', async () => {
      await begin({ work: { volumeCap: 30_000 } });
      host.addCard(7);
      host.xenstore.put('/local/domain/7/name', 'work--incoming');
      await settle();
      assert.deepEqual(
        host.guests.all.map(({ identity, policy }) => [identity.name, identity.xenName, policy.volumeCap]),
        [['work', 'work', 30_000]],
      );
    });

    it('that is new brings the policy of that name', async () => {
      await begin({ other: { volumeCap: 30_000 } });
      await host.connectCard(7);
      host.addCard(9, 0, UUID);
      host.xenstore.put('/local/domain/9/name', 'other');
      await settle();
      assert.deepEqual(
        host.guests.all.map(({ identity, policy }) => [identity.name, policy.volumeCap]),
        [['other', 30_000]],
      );
      assert.equal(node(`${PLAYBACK}/volume-cap`), '30000', 'also in streams that run');
    });
  });

  describe('the picture', () => {
    it('says what the modules say', async () => {
      await begin({ guest7: { capture: 'allow' } });
      await host.connectCaptureCard(7);
      await host.report(
        7,
        {
          state: 'playing',
          format: 's16_le',
          rate: '48000',
          channels: '2',
          'position-frames': '4800',
          device: '1 speakers',
        },
        0,
      );
      await host.report(7, {
        state: 'recording',
        requested: '1',
        active: '1',
        device: '1 mic',
        overruns: '3',
        level: '32768',
      });

      const state = host.guest('guest7').state();
      assert.deepEqual(
        [
          state.id,
          state.state,
          state.playbackActive,
          state.captureRequested,
          state.captureActive,
          state.sink,
          state.source,
        ],
        [`u${UUID.replaceAll('-', '_')}`, 'connected', true, true, true, 'speakers', 'mic'],
      );
      const [playback, capture] = state.streams;
      assert.deepEqual(
        [playback?.id, playback?.format, playback?.rate, playback?.channels, playback?.positionFrames],
        ['s0_0_0', 's16_le', 48_000, 2, 4800n],
      );
      assert.deepEqual([capture?.device, capture?.overruns, capture?.level], ['vsnd-0/0/1', 3n, 0.5]);
      assert.ok(host.changes > 0);
    });

    it('is gone with the last card', async () => {
      await begin();
      await host.connectCard(7);
      host.xenstore.drop('/local/domain/0/backend/vsnd/7');
      await host.clock.advance(0);

      assert.deepEqual(host.guests.all, []);
    });

    it('calls a guest without a UUID by its domain, and keeps nothing of it', async () => {
      await begin();
      host.addCard(7, 0, '');
      await settle();
      await host.guest('guest7').setVolume(100);

      assert.equal(host.guest('guest7').id, 'd7');
      assert.equal(host.records.size, 0);
    });
  });

  it('passes neither sink nor source to a module: its control directory says them', async () => {
    await begin({ guest7: { sink: 'out' } });
    await host.connectCaptureCard(7);
    const modules = host.pulse.loaded.map((module) => tryParseModargs(module.argument));
    assert.deepEqual(
      modules.map((values) => [values?.['sink'], values?.['source']]),
      [
        [undefined, undefined],
        [undefined, undefined],
      ],
    );
  });
});
