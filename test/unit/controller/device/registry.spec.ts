// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { DeviceRegistry } from '../../../../controller/device/registry.js';
import { tryParseModargs } from '../../../../controller/sndif/modargs.js';
import { XenAudioError } from '../../../../controller/util/errors.js';
import { DaemonConfig } from '../../../../schemas/config.js';
import { FakeClock, FakeLog, FakePulse, FakeXenstore, settle } from '../../../lib/fake-ports.js';

const BACKEND = '/local/domain/0/backend/vsnd';
const CONTROL = '/local/domain/0/data/xen-audio';
const HOLD_MS = 250;

/** One dom0 with fakes at its edges. */
class Host {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly xenstore = new FakeXenstore();
  readonly pulse = new FakePulse();
  registry: DeviceRegistry;

  constructor(private readonly settings: object = {}) {
    this.registry = this.#makeRegistry();
  }

  /** As a controller that ended and was started again. */
  async restart(): Promise<void> {
    await this.registry.stop();
    this.registry = this.#makeRegistry();
    await this.registry.start();
    await settle();
  }

  /** As the toolstack makes a domain with one card. */
  addCard(domid: number, devid = 0): void {
    this.xenstore.introduced.add(domid);
    this.xenstore.putAll(`/local/domain/${domid}`, { name: `guest${domid}`, vm: `/vm/${UUID}` });
    this.xenstore.putAll(frontend(domid, devid), { state: '1', '0/0/type': 'p', 'sample-rates': '48000' });
    const nodes = { frontend: frontend(domid, devid), online: '1', state: '1' };
    this.xenstore.putAll(backend(domid, devid), nodes);
  }

  /** As a frontend that saw 2 answers. */
  publish(domid: number, nodes: Readonly<Record<string, string>> = {}, devid = 0): void {
    const rings = { 'ring-ref': '8', 'event-channel': '11', 'evt-ring-ref': '9', 'evt-event-channel': '12' };
    this.xenstore.putAll(`${frontend(domid, devid)}/0/0`, { ...rings, ...nodes });
    this.xenstore.put(`${frontend(domid, devid)}/state`, '3');
  }

  async connectCard(domid: number): Promise<void> {
    this.addCard(domid);
    await this.#connect(domid);
  }

  state(domid: number, devid = 0): string | undefined {
    return this.xenstore.nodes.get(`${backend(domid, devid)}/state`);
  }

  states(domid: number): string {
    return this.xenstore.valuesOf(`${backend(domid)}/state`).join(' ');
  }

  /** A connected card that plays as stream 0/0 and records as stream 0/1. */
  async connectCaptureCard(domid: number): Promise<void> {
    this.addCard(domid);
    this.xenstore.putAll(`${frontend(domid)}/0/1`, CAPTURE_STREAM);
    await this.#connect(domid);
  }

  /** As the module of a capture stream says what it does. */
  async report(domid: number, nodes: { requested: string; active: string }): Promise<void> {
    this.xenstore.putAll(`${CONTROL}/${domid}/0/0/1`, nodes);
    await settle();
  }

  mayRecord(domid: number): string | undefined {
    return this.xenstore.nodes.get(`${CONTROL}/${domid}/0/0/1/capture`);
  }

  controlNodes(): string[] {
    return [...this.xenstore.nodes.keys()].filter((path) => path.startsWith(CONTROL));
  }

  async #connect(domid: number): Promise<void> {
    await this.clock.advance(0);
    this.publish(domid);
    await this.clock.advance(HOLD_MS);
    this.xenstore.put(`${frontend(domid)}/state`, '4');
    await settle();
    assert.equal(this.state(domid), '4');
  }

  #makeRegistry(): DeviceRegistry {
    const { clock, log, xenstore, pulse } = this;
    const config = DaemonConfig.parse(this.settings);
    return new DeviceRegistry({ ownDomid: 0, config, xenstore, pulse, clock, log });
  }
}

/** A second stream with rings of its own. */
const CAPTURE_STREAM = {
  type: 'c',
  'ring-ref': '18',
  'event-channel': '21',
  'evt-ring-ref': '19',
  'evt-event-channel': '22',
};
const UUID = '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10';
const frontend = (domid: number, devid = 0): string => `/local/domain/${domid}/device/vsnd/${devid}`;
const backend = (domid: number, devid = 0): string => `${BACKEND}/${domid}/${devid}`;

describe('DeviceRegistry', () => {
  let host: Host;

  beforeEach(async () => {
    host = new Host();
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
    assert.deepEqual([host.pulse.loaded.length, host.controlNodes().length], [0, 0]);

    host.xenstore.drop(backend(7));
    host.xenstore.drop(frontend(7));
    await settle();
    assert.equal(host.state(7), undefined, 'a removed directory is not made anew');
    assert.equal(host.log.matching(/guest7\/0: gone/).length, 1);
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

describe('DeviceRegistry, for guests that record', () => {
  const DEVICES = { pulse: { sink: 'out', source: 'mic' } };
  let host: Host;

  const begin = async (settings: object = {}): Promise<void> => {
    host = new Host(settings);
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
