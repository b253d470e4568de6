// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: the test stands in for the controller, over dom0's own connection to xenstore. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { soundsIn } from '../../lib/e2e-capture-timeline.js';
import { awaitInMixer, Control, gainOf, NORM, sliderOf } from '../../lib/e2e-control.js';
import { FORMAT, FRAME_BYTES } from '../../lib/e2e-lifecycle-ear.js';
import { play, Recorder } from '../../lib/e2e-play.js';
import { noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 120_000;
const NOISE_SECONDS = 90;
const PLAYER_LATENCY_MS = 300;
/** Half the slider is an eighth of the samples. */
const CAP = NORM / 2;
const LOUDER_TIMES = 40;
/** 10 ms. */
const WINDOW_BYTES = 441 * FRAME_BYTES;

const PCM = noise(FORMAT, NOISE_SECONDS);

/** A guest that plays noise, in a host without a controller. */
class Stage {
  #player: OwnedProcess | undefined;

  private constructor(
    readonly host: Host,
    readonly guest: Guest,
    readonly control: Control,
  ) {}

  static async start(dom0Settings = ''): Promise<Stage> {
    const host = await Host.start({ xen: 'emulated' });
    try {
      if (dom0Settings !== '') await useSettings(host, dom0Settings);
      const guest = await host.addGuest();
      await guest.loadSink();
      await guest.connected();
      await host.stopController();
      return new Stage(host, guest, await Control.of(host, guest));
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#player?.stop();
    await this.host.stop();
  }

  async play(): Promise<void> {
    const place = { client: this.guest.client, sink: this.guest.sink ?? '' };
    this.#player = await play(place, PCM, FORMAT, this.guest.dir, {
      latencyMs: PLAYER_LATENCY_MS,
      leadInSeconds: 0,
    });
    await this.control.says('state', 'playing', 20_000);
    await awaitInMixer(this.host, this.guest);
  }

  /** Ends the player; resolves when the stream is closed. */
  async silence(): Promise<void> {
    await this.#player?.stop();
    await this.control.says('format', '', 20_000);
  }

  async slider(): Promise<number[]> {
    return sliderOf(await awaitInMixer(this.host, this.guest));
  }

  /** As a user of dom0's mixer does. */
  async move(...volumes: string[]): Promise<void> {
    const { index } = await awaitInMixer(this.host, this.guest);
    await this.host.client.pactl('set-sink-input-volume', String(index), ...volumes);
  }

  async mute(mute: boolean): Promise<void> {
    const { index } = await awaitInMixer(this.host, this.guest);
    await this.host.client.pactl('set-sink-input-mute', String(index), mute ? '1' : '0');
  }

  /** What dom0's speakers play meanwhile. */
  async hear(meanwhile: () => Promise<void>): Promise<Buffer> {
    const recorder = await Recorder.start(
      { client: this.host.client, sink: SPEAKERS },
      FORMAT,
      this.host.dir,
    );
    try {
      await meanwhile();
      return await recorder.finish();
    } finally {
      await recorder.stop();
    }
  }
}

/** Gives dom0's sound server other settings, and starts it again. */
async function useSettings(host: Host, settings: string): Promise<void> {
  host.pulse.settings += settings;
  await host.pulse.stop();
  await host.pulse.start();
}

function peakOf(pcm: Buffer): number {
  let peak = 0;
  for (let at = 0; at + 2 <= pcm.length; at += 2) peak = Math.max(peak, Math.abs(pcm.readInt16LE(at)));
  return peak;
}

/** The quietest of all windows in which there is sound. */
function lowOf(pcm: Buffer): number {
  let low = Infinity;
  for (const { begin, end } of soundsIn(pcm, FRAME_BYTES)) {
    for (let at = begin * FRAME_BYTES; at + WINDOW_BYTES <= end * FRAME_BYTES; at += WINDOW_BYTES) {
      low = Math.min(low, peakOf(pcm.subarray(at, at + WINDOW_BYTES)));
    }
  }
  return low;
}

const peakAt = (volume: number): number => Math.round(peakOf(PCM) * gainOf(volume));

describe("end to end: a guest's volume", function () {
  this.timeout(TEST_MS);
  let stage: Stage;

  before(async () => {
    stage = await Stage.start();
    await stage.host.client.loadModule('module-stream-restore');
  });

  after(async () => {
    await stage.stop();
  });

  it('is what it will be, before there is a stream, and what was ordered then', async () => {
    const { control } = stage;
    await control.reports('volume', NORM);
    await control.reports('mute', '0');
    await control.reports('device', '');
    await control.order('volume', '40000');
    await control.order('mute', '1');

    await stage.play();

    const stream = await awaitInMixer(stage.host, stage.guest);
    assert.deepEqual(sliderOf(stream), [40000, 40000]);
    assert.equal(stream.mute, true);
    await control.reports('device', SPEAKERS);
  });

  it('is set by the controller, once for each serial, and heard', async () => {
    const { control } = stage;
    await control.order('mute', '0');
    await control.order('volume', '50000');
    assert.deepEqual(await stage.slider(), [50000, 50000]);

    const heard = await stage.hear(() => Promise.resolve());
    assert.ok(Math.abs(peakOf(heard) - peakAt(50000)) <= 2, `${peakOf(heard)}, expected ${peakAt(50000)}`);

    await stage.move('60000');
    await control.reports('volume', '60000');
    await control.write('volume-set', control.report('volume', '50000'));
    await control.order('mute', '0');
    assert.deepEqual(await stage.slider(), [60000, 60000], 'the same serial again is no order');
  });

  it('is reported when a user of dom0 changes it', async () => {
    const { control } = stage;
    await stage.move('30000');
    await control.reports('volume', '30000');
    await stage.mute(true);
    await control.reports('mute', '1');
    const muted = await stage.hear(() => Promise.resolve());
    assert.equal(peakOf(muted.subarray(-WINDOW_BYTES)), 0);
    await stage.mute(false);
    await control.reports('mute', '0');
  });

  it('keeps the balance that a user has set', async () => {
    const { control } = stage;
    await stage.move('40000', '20000');
    await control.reports('volume', '40000');
    await control.order('volume', '60000');
    assert.deepEqual(await stage.slider(), [60000, 30000]);
  });

  it('is the same when the stream starts again, whatever module-stream-restore knows', async () => {
    const { control } = stage;
    await stage.move('52000');
    await control.reports('volume', '52000');
    await control.order('volume', '45000');
    await control.order('mute', '1');

    await stage.silence();
    await control.reports('device', '');
    await control.reports('volume', '45000');
    await stage.play();

    const stream = await awaitInMixer(stage.host, stage.guest);
    assert.deepEqual(sliderOf(stream), [45000, 45000]);
    assert.equal(stream.mute, true);
    await control.order('mute', '0');
  });

  it('comes down to a cap that is lowered, and stays when it is raised', async () => {
    const { control } = stage;
    await control.write('volume-cap', String(CAP));
    await control.reports('volume', CAP);
    assert.deepEqual(await stage.slider(), [CAP, CAP]);
    await control.order('volume', NORM, CAP);
    await control.write('volume-cap', String(NORM));
    await control.order('mute', '0');
    assert.deepEqual(await stage.slider(), [CAP, CAP]);
  });

  it('is never above the cap, in the mixer or to the ear, however often a user tries', async () => {
    await stage.control.write('volume-cap', String(CAP));
    const heard = await stage.hear(() => pushUp(stage, '150%'));
    checkLoudness(heard);
  });

  it('obeys a slider below the cap at once after one above it', async () => {
    await stage.move('150%');
    await stage.move('20000');
    await stage.control.reports('volume', '20000');
    const heard = await stage.hear(() => Promise.resolve());
    assert.ok(Math.abs(peakOf(heard) - peakAt(20000)) <= 2, `${peakOf(heard)}, expected ${peakAt(20000)}`);
  });

  it('begins a stream below a cap that is lower than what it had', async () => {
    const { control } = stage;
    await stage.silence();
    await control.write('volume-cap', '10000');
    await control.reports('volume', '10000');
    await stage.play();
    assert.deepEqual(await stage.slider(), [10000, 10000]);
    await stage.host.xen.store.rm(`${control.path}/volume-cap`);
    await control.order('volume', NORM);
  });

  it('is as it was after an order that makes no sense, of which the log speaks once', async () => {
    const { control } = stage;
    for (const value of ['1000', '1000 ', 'x 1', '1000 -1', '1000 99999999999', '1000 1.5'])
      await control.write('volume-set', value);
    await control.write('mute-set', '1000 yes');
    await control.write('volume-cap', '50%');
    await control.write('device-set', '1000 no such/name');
    await control.order('mute', '0');
    assert.equal(await control.read('volume'), control.report('volume', NORM));
    const { stdout } = await stage.host.pulse.client.machine.run('grep', [
      '-c',
      'volume-set is',
      stage.host.pulse.logFile,
    ]);
    assert.equal(stdout.trim(), '1');
  });
});

describe("end to end: a guest's volume, where dom0's are flat", function () {
  this.timeout(TEST_MS);
  let stage: Stage;

  before(async () => {
    stage = await Stage.start('flat-volumes = yes\n');
    await stage.play();
  });

  after(async () => {
    await stage.stop();
  });

  it('moves with the slider of the sink, and says so', async () => {
    await stage.host.client.pactl('set-sink-volume', SPEAKERS, '40000');
    await stage.control.reports('volume', '40000');
  });

  it('is never above the cap, and does not push the sink above it', async () => {
    await stage.control.write('volume-cap', String(CAP));
    await stage.control.reports('volume', CAP);
    await stage.host.client.pactl('set-sink-volume', SPEAKERS, String(CAP));
    await stage.control.order('volume', CAP);
    const heard = await stage.hear(() => pushUp(stage, '98304'));
    checkLoudness(heard);
    const { volume } = await stage.host.client.sink(SPEAKERS);
    assert.deepEqual(
      Object.values(volume).map(({ value }) => value),
      [CAP, CAP],
    );
  });

  it('stays below the cap when the slider of the sink goes up', async () => {
    const heard = await stage.hear(async () => {
      for (let time = 0; time < LOUDER_TIMES / 4; time += 1) {
        await stage.host.client.pactl('set-sink-volume', SPEAKERS, '90000');
        await stage.host.client.pactl('set-sink-volume', SPEAKERS, String(CAP));
      }
    });
    assert.ok(peakOf(heard) <= peakAt(CAP) + 1, `${peakOf(heard)}, allowed ${peakAt(CAP)}`);
  });
});

/** Tries to be louder than the cap, over and over. */
async function pushUp(stage: Stage, volume: string): Promise<void> {
  for (let time = 0; time < LOUDER_TIMES; time += 1) {
    await stage.move(volume);
    assert.deepEqual(await stage.slider(), [CAP, CAP]);
  }
  await waitFor('the report', async () => (await stage.control.read('volume'))?.endsWith(` ${CAP}`));
}

/** As loud as the cap allows all the time, and never louder. */
function checkLoudness(heard: Buffer): void {
  const [peak, low, allowed] = [peakOf(heard), lowOf(heard), peakAt(CAP)];
  assert.ok(peak <= allowed + 1, `peak ${peak}, allowed ${allowed}`);
  assert.ok(low >= allowed * 0.9, `10 ms of no more than ${low}, the cap is ${allowed}`);
}
