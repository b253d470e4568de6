// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { SPEAKERS, type Host } from '../../host/host.js';
import type { Guest } from '../../host/guest.js';
import { playSilence, sinkInputs, sinkInputsOf, TwoGuests } from '../../lib/e2e-lifecycle.js';
import { withoutSilence } from '../../lib/e2e-lifecycle-bystander.js';
import { Ear, FORMAT, FRAME_BYTES } from '../../lib/e2e-lifecycle-ear.js';
import { OwnedProcess } from '../../lib/process.js';
import type { PulseClient } from '../../lib/pulse.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 90_000;
const OTHER_SINK = 'headphones';
/** What a program plays to see that time passes. */
const SHORT_SECONDS = 3;
/** Start of pacat, its buffer, the drain: over the duration of what it plays. */
const OVERHEAD_MS = 2500;
/** A drain ends when the last frame has been heard, never much before. */
const EARLY_MS = 100;

/** 100 ms: what the old sink had rendered is not heard, and a program may win as much by an overlap. */
const MOVE_SLACK_FRAMES = 4410;

describe('end to end: dom0 moves and takes away sinks', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let ear: Ear;

  before(async () => {
    stage = await TwoGuests.start();
    await stage.loadSink();
    await stage.host.client.loadModule('module-null-sink', `sink_name=${OTHER_SINK}`);
  });

  beforeEach(async () => {
    ear = await Ear.open(stage.host, SPEAKERS);
  });

  afterEach(async () => {
    await ear.close();
    await stage.endPlayers();
  });

  after(async () => {
    await stage.stop();
  });

  /** The one stream of the subject in dom0. */
  async function input(): Promise<number> {
    return waitFor("the subject's stream in dom0", async () => {
      const inputs = await sinkInputsOf(stage.host, stage.subject);
      return inputs[0]?.index;
    });
  }

  async function muteInput(mute: boolean): Promise<void> {
    await stage.host.client.pactl('set-sink-input-mute', String(await input()), mute ? '1' : '0');
  }

  it('moves a stream between sinks, and loses little more than a program of dom0 does', async () => {
    const other = await Ear.open(stage.host, OTHER_SINK);
    let lostOfGuest = 0;
    await stage.undisturbed(async () => {
      stage.play();
      await ear.hears(1);
      await stage.host.client.pactl('move-sink-input', String(await input()), OTHER_SINK);
      await other.hears(1);
      await ear.hearsNothing();
      lostOfGuest = lostBetween(stage.pcm, await ear.close(), await other.close());
      await stage.host.client.pactl('move-sink-input', String(await input()), SPEAKERS); // it would stay there
      await stage.endPlayers();
    });
    const lostOfLocal = await moveLocalStream(stage.host, stage.noiseFile, stage.pcm);
    assert.ok(
      lostOfGuest <= Math.max(0, lostOfLocal) + MOVE_SLACK_FRAMES,
      `${lostOfGuest} frames lost, a local one ${lostOfLocal}`,
    );
  });

  it('keeps time in the guest while the sink in dom0 is suspended', async () => {
    await stage.undisturbed(async () => {
      const player = stage.play();
      await ear.hears();
      await stage.host.client.pactl('suspend-sink', SPEAKERS, '1');
      await playsInRealTime(stage.subject);
      await stage.host.client.pactl('suspend-sink', SPEAKERS, '0');
      await ear.hears(1);
      assert.equal(player.running, true);
    });
  });

  it('sets volume and mute of the stream in dom0', async () => {
    await stage.undisturbed(async () => {
      stage.play();
      await ear.hears();
      await muteInput(true);
      await ear.hearsNothing();
      await muteInput(false);
      await ear.hears();
      await stage.host.client.pactl('set-sink-input-volume', String(await input()), '0%');
      await ear.hearsNothing();
      await stage.host.client.pactl('set-sink-input-volume', String(await input()), '100%');
      await ear.hears();
    });
  });

  it('plays on, on another sink, when the sink is unplugged', async () => {
    await stage.undisturbed(async () => {
      const player = stage.play();
      await ear.hears();
      await unplug(stage.host.client, SPEAKERS);
      const [stream] = await sinkInputsOf(stage.host, stage.subject);
      const taker = (await stage.host.client.list('sinks')).find((sink) => sink.index === stream?.sink);
      assert.ok(taker !== undefined, 'another sink has taken the stream');
      const other = await Ear.open(stage.host, taker.name);
      await other.hears(1);
      await other.close();
      await playsInRealTime(stage.subject);
      assert.equal(player.running, true);
    });
    await stage.host.client.loadModule('module-null-sink', `sink_name=${SPEAKERS}`);
  });
});

describe('end to end: dom0 has no sink left', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;

  before(async () => {
    stage = await TwoGuests.start();
    await stage.loadSink();
  });

  after(async () => {
    await stage.stop();
  });

  it('keeps time in the guest, and is heard when a sink returns', async () => {
    const { client } = stage.host;
    const player = stage.play();
    await waitFor(
      'the stream to play',
      async () => (await sinkInputsOf(stage.host, stage.subject)).length === 1,
    );
    for (const { name } of await client.list('sinks')) {
      await unplug(client, name);
    }
    assert.deepEqual(await sinkInputsOf(stage.host, stage.subject), []);

    await playsInRealTime(stage.subject);

    await client.loadModule('module-null-sink', `sink_name=${SPEAKERS}`);
    const ear = await Ear.open(stage.host, SPEAKERS);
    await ear.hears(1);
    assert.equal(player.running, true);
    await ear.close();
  });
});

/** A program plays SHORT_SECONDS in as much time, whatever dom0 does with it. */
async function playsInRealTime(guest: Guest): Promise<void> {
  const tookMs = await playSilence(guest, SHORT_SECONDS);
  const overMs = tookMs - SHORT_SECONDS * 1000;
  assert.ok(
    overMs > -EARLY_MS && overMs < OVERHEAD_MS,
    `${SHORT_SECONDS} s of sound were played in ${Math.round(tookMs)} ms`,
  );
}

async function unplug(client: PulseClient, sink: string): Promise<void> {
  const { owner_module: owner } = await client.sink(sink);
  await client.unloadModule(Number(owner));
}

/**
 * Frames of the noise between what one sink played and what another played after it; negative: some twice.
 */
function lostBetween(noise: Buffer, first: Buffer, second: Buffer): number {
  const end = withoutSilence(first).subarray(-64 * FRAME_BYTES);
  const begin = withoutSilence(second).subarray(0, 64 * FRAME_BYTES);
  const [endAt, beginAt] = [noise.indexOf(end), noise.indexOf(begin)];
  assert.ok(endAt >= 0 && beginAt >= 0, 'both sinks played the noise');
  return (beginAt - endAt - end.length) / FRAME_BYTES;
}

/** As the guest is moved, a program of dom0 is. */
async function moveLocalStream(host: Host, noiseFile: string, noise: Buffer): Promise<number> {
  const [ear, other] = [await Ear.open(host, SPEAKERS), await Ear.open(host, OTHER_SINK)];
  const player = OwnedProcess.start('local player', 'pacat', localPlayerArgs(noiseFile), {
    env: host.client.env,
  });
  try {
    await ear.hears(1);
    const local = (await sinkInputs(host)).find((i) => i.properties['media.name'] === 'local');
    await host.client.pactl('move-sink-input', String(local?.index), OTHER_SINK);
    await other.hears(1);
    return lostBetween(noise, await ear.close(), await other.close());
  } finally {
    await player.stop();
    await ear.close();
    await other.close();
  }
}

const localPlayerArgs = (noiseFile: string): string[] => [
  '--playback',
  `--device=${SPEAKERS}`,
  '--stream-name=local',
  '--raw',
  `--format=${FORMAT.format}`,
  `--rate=${FORMAT.rate}`,
  `--channels=${FORMAT.channels}`,
  '--latency-msec=400',
  noiseFile,
];
