// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { tryParseModargs } from '../../../../controller/sndif/modargs.js';
import { XenAudioError } from '../../../../controller/util/errors.js';
import { CAPTURE_STREAM, CONTROL, FakeDom0, frontend, HOLD_MS, UUID } from '../../../lib/fake-dom0.js';
import { settle } from '../../../lib/fake-ports.js';

describe('CaptureConsent, for the cards of a registry', () => {
  const DEVICES = { pulse: { sink: 'out', source: 'mic' } };
  let host: FakeDom0;

  const begin = async (settings: object = {}): Promise<void> => {
    host = new FakeDom0(settings);
    await host.registry.start();
  };

  const allow = async (...allowed: string[]): Promise<void> => {
    await host.registry.changeCapture({ allowed });
    await settle();
  };

  const said = (pattern: RegExp): number => host.log.matching(pattern).length;

  afterEach(async () => {
    await host.registry.stop();
    assert.equal(host.xenstore.watches.size, 0, 'no watch stays');
    assert.equal(host.clock.pending, 0, 'no timer stays');
  });

  it('names sink and source that are configured', async () => {
    await begin(DEVICES);
    await host.connectCaptureCard(7);

    const modules = host.pulse.loaded.map((module) => tryParseModargs(module.argument));
    assert.deepEqual(
      modules.map((values) => [values?.['sink'], values?.['source']]),
      [
        ['out', undefined],
        [undefined, 'mic'],
      ],
    );
  });

  it('says that nobody may record before there is a module that could', async () => {
    await begin();
    let toldFirst: string | undefined;
    host.pulse.failLoad = (argument) => {
      if (argument.includes('type="c"')) toldFirst = host.mayRecord(7);
      return undefined;
    };

    await host.connectCaptureCard(7);

    assert.equal(toldFirst, '0');
    assert.equal(host.xenstore.nodes.get(`${CONTROL}/7/0/0/0/capture`), undefined, 'not for playback');
    assert.equal(said(/^info capture guest7\/0: stream 0\/1 may not record: capture.allowed has neither/), 1);
  });

  it('lets those record that are named by UUID or by name', async () => {
    await begin({ capture: { allowed: ['guest7'] } });
    await host.connectCaptureCard(7);
    await host.connectCaptureCard(8);
    assert.deepEqual([host.mayRecord(7), host.mayRecord(8)], ['1', '0']);

    await allow(UUID.toUpperCase());
    assert.deepEqual([host.mayRecord(7), host.mayRecord(8)], ['1', '1']);
  });

  it('gives leave and takes it in running streams, and touches nothing else', async () => {
    await begin();
    await host.connectCaptureCard(7);
    const loaded = [...host.pulse.loaded];

    await allow('guest7');
    await allow('guest7', 'other');
    await allow();

    assert.deepEqual(host.xenstore.valuesOf(`${CONTROL}/7/0/0/1/capture`), ['0', '1', '0']);
    assert.deepEqual([host.states(7), host.pulse.loaded], ['1 2 4', loaded]);
  });

  it('takes leave at once from a guest that keeps its card busy', async () => {
    await begin({ capture: { allowed: ['guest7'] } });
    await host.connectCaptureCard(7);
    for (let write = 0; write < 500; write += 1) {
      host.xenstore.put(`${frontend(7)}/state`, write % 2 === 0 ? '3' : '4');
      await settle();
    }

    await allow();

    assert.equal(host.mayRecord(7), '0');
  });

  it('tells an adopted stream what is decided now', async () => {
    await begin({ capture: { allowed: ['guest7'] } });
    await host.connectCaptureCard(7);
    await host.registry.changeCapture({ allowed: [] });
    await host.restart(); // with the settings it began with

    assert.equal(host.mayRecord(7), '1');
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

  it('logs once who asks in vain, who records, and that it is over', async () => {
    await begin();
    await host.connectCaptureCard(7);

    await host.report(7, { requested: '1', active: '0' });
    await host.report(7, { requested: '1', active: '0' });
    assert.equal(said(/guest7\/0: stream 0\/1 asks to record and hears silence: .*capture.allowed/), 1);
    await allow('guest7');
    await host.report(7, { requested: '1', active: '1' });
    await host.report(7, { requested: '0', active: '0' });

    assert.equal(said(/stream 0\/1 records/), 1);
    assert.equal(said(/stream 0\/1 does not record now/), 1);
  });

  it('does not let a guest fill the log by starting and stopping', async () => {
    await begin({ capture: { allowed: ['guest7'] } });
    await host.connectCaptureCard(7);

    for (let turn = 0; turn < 500; turn += 1) {
      await host.report(7, { requested: '1', active: '1' });
      await host.report(7, { requested: '0', active: '0' });
    }
    await host.report(7, { requested: '1', active: '1' });
    await host.clock.advance(10_000);

    assert.ok(said(/^info capture/) < 20, `${said(/^info capture/)} lines`);
    assert.match(host.log.matching(/^info capture/).at(-1) ?? '', /records$/, 'the last line is what is');
  });

  it('leaves nothing of a stream whose module is not loaded', async () => {
    await begin({ capture: { allowed: ['guest7'] } });
    host.pulse.failLoad = (argument) =>
      argument.includes('type="c"') ? new XenAudioError('pulse-refused', 'no') : undefined;
    host.addCard(7);
    host.xenstore.putAll(`${frontend(7)}/0/1`, CAPTURE_STREAM);
    host.publish(7);
    await host.clock.advance(HOLD_MS);
    await allow();

    assert.equal(host.states(7), '1 2 5 6');
    assert.deepEqual([host.controlNodes(), host.pulse.loaded], [[], []]);
  });
});
