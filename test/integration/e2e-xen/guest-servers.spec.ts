// SPDX-License-Identifier: LGPL-2.1-or-later
/** On real Xen only: a guest's sound server that plays on its kernel's card, with nothing of ours installed. */
import assert from 'node:assert/strict';

import { join } from 'node:path';

import { wavOf } from '../../../scripts/lib/wav.js';
import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { loadDriver, runIn, stopWithDriver } from '../../lib/e2e-alsa.js';
import { compare, countersOf, playAndRecord, Recorder, type Place } from '../../lib/e2e-play.js';
import { noise, silentFrames } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 120_000;
const SECONDS = 4;
const LEAD_IN_SECONDS = 1;
const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = 'format=s16le rate=48000 channels=2';
/** What names a PipeWire's socket; boot of the lab's guests makes it. */
const PIPEWIRE_ENV = { XDG_RUNTIME_DIR: '/run/user/0' };
/** In place of a session manager, which wants logind and udev: ports without being asked. */
const PORTS = 'adapter.auto-port-config = { mode = dsp monitor = false control = false position = preserve }';
/** One ALSA sink on the card, and what a client needs to play on it; pipewire.conf(5). */
const PIPEWIRE_CONF = `
context.properties = { core.daemon = true, core.name = pipewire-0, default.clock.rate = 48000 }
context.spa-libs = {
  audio.convert.* = audioconvert/libspa-audioconvert
  api.alsa.* = alsa/libspa-alsa
  support.* = support/libspa-support
}
context.modules = [
  { name = libpipewire-module-rt, flags = [ ifexists nofail ] }
  { name = libpipewire-module-protocol-native }
  { name = libpipewire-module-metadata }
  { name = libpipewire-module-spa-node-factory }
  { name = libpipewire-module-client-node }
  { name = libpipewire-module-access }
  { name = libpipewire-module-adapter }
  { name = libpipewire-module-link-factory }
]
context.objects = [
  { factory = metadata, args = { metadata.name = default } }
  { factory = spa-node-factory, args = {
      factory.name = support.node.driver, node.name = Dummy-Driver
      node.group = pipewire.dummy, priority.driver = 20000 } }
  { factory = adapter, args = {
      factory.name = api.alsa.pcm.sink, node.name = card, media.class = Audio/Sink, api.alsa.path = "hw:0"
      resample.disable = true, channelmix.disable = true
      audio.format = S16LE, audio.rate = 48000, audio.channels = 2, audio.position = [ FL FR ]
      ${PORTS} } }
]
`;

describe("a guest's sound server on the card of its kernel", function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;

  before(async () => {
    host = await Host.start({ xen: 'real', nullSinkArgs: spec });
    guest = await host.addGuest();
    await loadDriver(guest);
  });

  after(async () => {
    await stopWithDriver(host, guest);
  });

  it("PulseAudio's module-alsa-sink arrives sample for sample", async () => {
    const index = await guest.client.loadModule('module-alsa-sink', `device=hw:0,0 sink_name=alsa ${spec}`);
    const pcm = noise(format, SECONDS);
    const received = await playAndRecord({
      from: { client: guest.client, sink: 'alsa' },
      to: { client: host.client, sink: SPEAKERS },
      pcm,
      format,
      dir: guest.dir,
      options: { latencyMs: 200 },
    });
    await guest.client.unloadModule(index);
    const result = compare(pcm, received, format);
    assert.equal(result.exact, true, JSON.stringify({ ...result, ...(await countersOf(host, guest)) }));
  });

  it("PipeWire's ALSA sink arrives sample for sample", async () => {
    const { machine } = guest.domain;
    const conf = join(guest.dir, 'pipewire.conf');
    const wav = join(guest.dir, 'noise.wav');
    const pcm = noise(format, SECONDS);
    // pw-cat takes its stream down before the card has played the last of it
    const tail = silentFrames(format, LEAD_IN_SECONDS);
    const samples = Buffer.concat([silentFrames(format, LEAD_IN_SECONDS), pcm, tail]);
    await machine.write(conf, PIPEWIRE_CONF);
    await machine.write(wav, wavOf(samples, { ...format, sampleBytes: 2 }));
    const env = PIPEWIRE_ENV;
    const started: OwnedProcess[] = [];
    const start = (command: string, ...args: string[]): OwnedProcess => {
      const options = { env, logFile: `${guest.dir}.${command}.log` };
      const owned = machine.start(`${command} in ${guest.domain.name}`, command, args, options);
      started.unshift(owned);
      return owned;
    };
    const speakers: Place = { client: host.client, sink: SPEAKERS };
    const recorder = await Recorder.start(speakers, format, host.dir);
    try {
      start('pipewire', '-c', conf);
      await hasPort(guest, 'card:playback_FR');
      const player = start('pw-cat', '--playback', '--target=0', `-P{ node.name = player ${PORTS} }`, wav);
      await hasPort(guest, 'player:output_FR');
      for (const channel of ['FL', 'FR']) {
        const ports = [`player:output_${channel}`, `card:playback_${channel}`];
        await runIn(guest, 'env', `XDG_RUNTIME_DIR=${env.XDG_RUNTIME_DIR}`, 'pw-link', ...ports);
      }
      await player.succeeded((SECONDS + 2 * LEAD_IN_SECONDS + 20) * 1000);
      const result = compare(pcm, await recorder.finish(), format);
      assert.equal(result.exact, true, JSON.stringify({ ...result, ...(await countersOf(host, guest)) }));
    } finally {
      for (const owned of started) {
        await owned.stop();
      }
      await recorder.stop();
    }
  });
});

async function hasPort(guest: Guest, port: string): Promise<void> {
  const ports = () => guest.domain.machine.run('pw-link', ['-io'], { env: PIPEWIRE_ENV });
  await waitFor(`PipeWire's port ${port}`, async () => (await ports()).stdout.includes(port));
}
