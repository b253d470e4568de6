// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: the test stands in for the controller, over dom0's own connection to xenstore. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { speak } from '../../lib/e2e-capture.js';
import { Control, NORM } from '../../lib/e2e-control.js';
import { logFrom } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { play } from '../../lib/e2e-play.js';
import { noise } from '../../lib/e2e-signals.js';
import { XenstoreWire } from '../../lib/faults-xenstore-wire.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

const NOISE_SECONDS = 90;
/** The noise is at a quarter of full scale. */
const isLevelOfNoise = (value: string): boolean => Math.abs(Number(value) - NORM / 4) < NORM / 100;
/** How far two looks at the position may be off from the time between them. */
const POSITION_SLACK_MS = 500;
const CLOCK_TICKS_PER_SECOND = 100;
/** What plays and records takes a fraction of this, a loop all there is. */
const BUSY_SHARE = 0.5;

describe('end to end: what dom0 is told of a stream', function () {
  this.timeout(120_000);
  let host: Host;
  let guest: Guest;
  let playback: Control;
  let capture: Control;
  let player: OwnedProcess;

  before(async () => {
    host = await Host.start({ xen: 'emulated', guests: 1, sourceArgs: 'source_name=xen_mic' });
    const [first] = host.guests;
    assert.ok(first !== undefined);
    guest = first;
    await host.stopController();
    playback = await Control.of(host, guest);
    capture = await Control.of(host, guest, 'capture');
  });

  after(async () => {
    await player.stop();
    await host.stop();
  });

  it('is that it is closed, at first', async () => {
    for (const control of [playback, capture]) {
      await control.says('state', 'connected');
      for (const node of ['format', 'rate', 'channels', 'level']) {
        assert.equal(await control.read(node), undefined, node);
      }
    }
  });

  it('is format, rate, channels and position while it plays', async () => {
    player = await play(
      { client: guest.client, sink: guest.sink ?? '' },
      noise(FORMAT, NOISE_SECONDS),
      FORMAT,
      guest.dir,
      { leadInSeconds: 0 },
    );
    await playback.says('state', 'playing', 20_000);
    assert.equal(await playback.read('format'), 's16_le');
    assert.equal(await playback.read('rate'), String(FORMAT.rate));
    assert.equal(await playback.read('channels'), String(FORMAT.channels));
    // a sink that was idle takes up to two seconds until it plays
    await playback.says('position-frames', (frames) => Number(frames) > FORMAT.rate, 20_000);
    await advances(playback);
  });

  it('is how loud it is, while somebody looks', async () => {
    assert.equal(await playback.read('level'), undefined);
    await playback.write('levels', '1');
    await playback.says('level', isLevelOfNoise);
    await playback.write('levels', '0');
    await playback.says('level', '0');
    await advances(playback);
    assert.equal(await playback.read('level'), '0');
  });

  it('is the same of a stream that records', async () => {
    await capture.write('capture', '1');
    await capture.write('levels', '1');
    const voice = await speak(host, noise(FORMAT, NOISE_SECONDS), FORMAT);
    const ear = await Ear.inGuest(host, guest);
    try {
      await capture.says('active', '1');
      assert.equal(await capture.read('format'), 's16_le');
      assert.equal(await capture.read('rate'), String(FORMAT.rate));
      await capture.says('level', isLevelOfNoise);
      await capture.says('latency-usec', (usec) => Number(usec) > 0 && Number(usec) < 1_000_000);
      await advances(capture);
    } finally {
      await ear.close();
      await voice.stop();
    }
    await capture.says('format', '', 20_000);
    assert.equal(await capture.read('level'), '0');
  });

  it('is that it is closed, when it is', async () => {
    await playback.write('levels', '1');
    await playback.says('level', isLevelOfNoise);
    await player.stop();
    await playback.says('level', '0');
    await playback.says('format', '', 20_000);
    assert.equal(await playback.read('rate'), '0');
    assert.equal(await playback.read('channels'), '0');
  });
});

describe("end to end: dom0's sound server loses xenstore", function () {
  this.timeout(60_000);
  let host: Host;
  let guest: Guest;
  let wire: XenstoreWire;

  before(async () => {
    host = await Host.start({ xen: 'emulated' });
    wire = await XenstoreWire.tap(host);
    guest = await host.addGuest();
    await guest.loadSink();
    await guest.loadSource();
    await guest.connected();
    await host.stopController();
  });

  after(async () => {
    await host.stop();
    wire.cut();
  });

  it('goes on to play, lets nobody record meanwhile, does not loop, and obeys again when it is back', async () => {
    const log = logFrom(host.pulse.logFile);
    const pcm = noise(FORMAT, NOISE_SECONDS);
    const place = { client: guest.client, sink: guest.sink ?? '' };
    const [player, voice] = [await play(place, pcm, FORMAT, guest.dir), await speak(host, pcm, FORMAT)];
    const [speakers, inGuest] = [await Ear.open(host, SPEAKERS), await Ear.inGuest(host, guest)];
    try {
      await (await Control.of(host, guest, 'capture')).write('capture', '1');
      await inGuest.hears();
      await speakers.hears();

      wire.cut();

      await waitFor(
        'both streams to say so',
        () => log().match(/xenstore has closed the connection/g)?.length === 2,
      );
      await inGuest.hearsNothing();
      const [begin, beginMs] = [processorSeconds(host.pulse.pid), performance.now()];
      await speakers.hears(1);
      const share = ((processorSeconds(host.pulse.pid) - begin) * 1000) / (performance.now() - beginMs);
      assert.ok(share < BUSY_SHARE, `it takes ${Math.round(share * 100)} % of a processor`);

      await wire.mend();

      await inGuest.hears();
      const [recording, playing] = [
        await Control.of(host, guest, 'capture'),
        await Control.of(host, guest, 'playback'),
      ];
      await playing.order('volume', NORM / 2);
      await playing.says('state', 'playing');
      await recording.write('capture', '0');
      await recording.says('active', '0');
    } finally {
      await Promise.all([speakers.close(), inGuest.close(), player.stop(), voice.stop()]);
    }
  });
});

/** The position goes on as time does. */
async function advances(control: Control): Promise<void> {
  const next = async (after: number): Promise<{ frames: number; atMs: number }> => {
    const frames = Number(await control.says('position-frames', (value) => Number(value) > after));
    return { frames, atMs: performance.now() };
  };
  const first = await next(Number(await control.read('position-frames')));
  const second = await next(first.frames);
  const playedMs = ((second.frames - first.frames) / FORMAT.rate) * 1000;
  const offMs = playedMs - (second.atMs - first.atMs);
  assert.ok(
    Math.abs(offMs) < POSITION_SLACK_MS,
    `${playedMs} ms were played, ${offMs} ms more than have passed`,
  );
}

/** What a process has used so far, in user and system mode (proc(5), stat: fields 14 and 15). */
function processorSeconds(pid: number | undefined): number {
  assert.ok(pid !== undefined, 'it runs');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}
