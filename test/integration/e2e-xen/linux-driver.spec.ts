// SPDX-License-Identifier: LGPL-2.1-or-later
/** On real Xen only: the guest's own kernel is the frontend. */
import assert from 'node:assert/strict';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import {
  alsaLog,
  aplay,
  bringPcm,
  loadDriver,
  runIn,
  stopWithDriver,
  type AlsaBuffer,
} from '../../lib/e2e-alsa.js';
import { PLAYER_AT_5_MS, SINK_AT_5_MS, SinkHolder, type Hold } from '../../lib/e2e-hold.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { logFrom } from '../../lib/e2e-lifecycle.js';
import { compare, countersOf, Recorder, type Place } from '../../lib/e2e-play.js';
import { noise, silentFrames } from '../../lib/e2e-signals.js';
import { DRAIN_PORT, probeDrain, PROBE_HEIGHT } from '../../lib/e2e-probe.js';
import type { OwnedProcess } from '../../lib/process.js';
import type { StreamFormat } from '../../lib/pulse.js';
import { FULL } from '../../lib/scale.js';

const SECONDS = FULL ? 60 : 3;
/** Two are the hardest. */
const PERIODS = FULL ? [2, 3, 4, 5, 6, 7, 8] : [2];
const LEAD_IN_SECONDS = 1;
const TEST_MS = (SECONDS + 90) * 1000;

/** The recording's timing is exact to about this. */
const EARLIEST_USEC = -1000;
/** aplay's end included. */
const LATEST_USEC = 15_000;

interface Row {
  rate: number;
  /** Absent: aplay's defaults. */
  periodMs?: number;
  periods?: number;
}

const rows: Row[] = [44_100, 48_000].flatMap((rate): Row[] => [
  ...[5, 10, 20].flatMap((periodMs) => PERIODS.map((periods) => ({ rate, periodMs, periods }))),
  { rate },
]);

function bufferOf({ rate, periodMs, periods }: Row): AlsaBuffer | undefined {
  return periodMs === undefined || periods === undefined
    ? undefined
    : { periodFrames: Math.floor((rate * periodMs) / 1000), periods };
}

/** What is between the shortest periods and aplay's own is no harder. */
const isExtreme = ({ periodMs, periods }: Row): boolean =>
  periodMs === undefined || (periodMs === 5 && periods === 2);

/** How dom0's sink comes by its latency: by its streams, or by another program that is there as well. */
interface Sink {
  rate: number;
  hold?: Hold;
  rows: Row[];
}

const sinks = [44_100, 48_000].flatMap((rate): Sink[] => {
  const all = rows.filter((row) => row.rate === rate);
  const extremes = all.filter(isExtreme);
  if (!FULL) {
    return [rate === 48_000 ? { rate, hold: SINK_AT_5_MS, rows: extremes } : { rate, rows: extremes }];
  }
  return [
    { rate, rows: all },
    { rate, hold: SINK_AT_5_MS, rows: all },
    { rate, hold: PLAYER_AT_5_MS, rows: extremes },
  ];
});

const nameOf = ({ rate, periodMs, periods }: Row): string =>
  periodMs === undefined
    ? `${rate} Hz, aplay's defaults`
    : `${rate} Hz, ${periods ?? 0} periods of ${periodMs} ms`;

for (const { rate, hold, rows: sinkRows } of sinks) {
  describe(`snd_xen_front, ${rate} Hz, dom0's sink ${hold?.name ?? 'left at its own latency'}`, function () {
    this.timeout(TEST_MS);
    const format: StreamFormat = { format: 's16le', rate, channels: 2 };
    const pcm = noise(format, SECONDS);
    let host: Host;
    let guest: Guest;
    let speakers: Place;
    let file: string;
    let holder: SinkHolder | undefined;

    before(async () => {
      host = await Host.start({ xen: 'real', nullSinkArgs: `format=s16le rate=${rate} channels=2` });
      speakers = { client: host.client, sink: SPEAKERS };
      guest = await host.addGuest({ pulse: false });
      await loadDriver(guest);
      file = await bringPcm(guest, 'noise', Buffer.concat([silentFrames(format, LEAD_IN_SECONDS), pcm]));
      holder = hold && (await SinkHolder.start(speakers, format, hold, host.dir));
    });

    after(async () => {
      await holder?.stop();
      await stopWithDriver(host, guest);
    });

    for (const row of sinkRows) {
      it(`arrives sample for sample: ${nameOf(row)}`, async () => {
        const recorder = await Recorder.start(speakers, format, host.dir);
        const said = logFrom(alsaLog(guest));
        const player = await aplay(guest, file, format, bufferOf(row));
        try {
          await player.succeeded((SECONDS + 20) * 1000);
          const result = compare(pcm, await recorder.finish(), format);
          const figures = JSON.stringify({ ...result, ...(await countersOf(host, guest)) });
          assert.equal(result.exact, true, `${figures}\n${said()}`);
          assert.doesNotMatch(said(), /underrun/);
          await holder?.assertHeld();
        } finally {
          await player.stop();
          await recorder.stop();
        }
      });
    }

    it('leaves no complaint in the kernel log of the guest', async () => {
      const log = await runIn(guest, 'dmesg');
      assert.doesNotMatch(log, /vsnd.*(?:error|fail|timeout)|Oops|BUG:/);
    });
  });
}

describe('snd_xen_front, a drain', function () {
  this.timeout(TEST_MS);
  const format: StreamFormat = { format: 's16le', rate: 48_000, channels: 2 };
  const DRAINS = 3;
  let host: Host;
  let guest: Guest;

  before(async () => {
    host = await Host.start({ xen: 'real', nullSinkArgs: 'format=s16le rate=48000 channels=2' });
    guest = await host.addGuest({ pulse: false });
    await loadDriver(guest);
    const impulse = Buffer.alloc(4);
    impulse.writeInt16LE(PROBE_HEIGHT, 0);
    impulse.writeInt16LE(PROBE_HEIGHT, 2);
    // One frame short of whole periods: aplay fills up the last one with silence, and after a whole one it plays
    // another, of silence alone, which is drained as well.
    const silence = silentFrames(format, 2).subarray(2 * impulse.length);
    await bringPcm(guest, 'impulse', Buffer.concat([silence, impulse]));
  });

  after(async () => {
    await stopWithDriver(host, guest);
  });

  for (const buffer of [
    { periodFrames: 240, periods: 2 },
    ...(FULL ? [{ periodFrames: 960, periods: 4 }] : []),
  ]) {
    const name = `${buffer.periods} periods of ${buffer.periodFrames / 48} ms`;

    it(`ends after the last frame has been heard, and soon: ${name}`, async () => {
      const speakers: Place = { client: host.client, sink: SPEAKERS };
      const recorder = await Recorder.start(speakers, format, host.dir); // brings the sink to rest before the probe
      try {
        const afterUsec: number[] = [];
        for (let drain = 0; drain < DRAINS; drain += 1) {
          const { last_heard_usec, drained_usec } = await probeDrain(speakers, format.rate, () =>
            drainAndTell(guest, buffer, DRAIN_PORT),
          );
          assert.ok(last_heard_usec !== null, 'the last frame was not heard');
          afterUsec.push(drained_usec - last_heard_usec);
        }
        const figures = `ended ${afterUsec.join(', ')} usec after the last frame was heard`;
        console.log(`      ${figures}`);
        assert.ok(Math.min(...afterUsec) >= EARLIEST_USEC, figures);
        assert.ok(Math.max(...afterUsec) <= LATEST_USEC, figures);
      } finally {
        await recorder.stop();
      }
    });
  }
});

describe('snd_xen_front, a program that', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let file: string;
  let player: OwnedProcess;
  let ear: Ear;

  before(async () => {
    host = await Host.start({ xen: 'real' });
    guest = await host.addGuest({ pulse: false });
    await loadDriver(guest);
    file = await bringPcm(guest, 'noise', noise(FORMAT, 30));
  });

  beforeEach(async () => {
    ear = await Ear.open(host, SPEAKERS);
    player = await aplay(guest, file, FORMAT, { periodFrames: 441, periods: 4 });
    await ear.hears();
  });

  afterEach(async () => {
    await player.kill();
    await ear.close();
  });

  after(async () => {
    await stopWithDriver(host, guest);
  });

  it('is stopped has an underrun, and is heard again when it goes on', async () => {
    const said = logFrom(alsaLog(guest));
    player.signal('SIGSTOP');
    await ear.hearsNothing();
    player.signal('SIGCONT');
    await ear.hears(1);
    assert.match(said(), /underrun/);
    assert.equal(player.running, true);
  });

  it('is killed leaves silence, and the next one is heard', async () => {
    await player.kill();
    await ear.hearsNothing();
    player = await aplay(guest, file, FORMAT);
    await ear.hears(1);
  });
});

/** Plays the impulse to its end, and tells this machine at once. */
async function drainAndTell(
  guest: Guest,
  { periodFrames, periods }: AlsaBuffer,
  port: number,
): Promise<void> {
  const sizes = `--period-size=${periodFrames} --buffer-size=${periodFrames * periods}`;
  const play = `aplay -q -D hw:0,0 -t raw -f S16_LE -r 48000 -c 2 ${sizes} ${guest.dir}/impulse`;
  await runIn(guest, 'bash', '-c', `${play} && echo drained >/dev/udp/\${SSH_CONNECTION%% *}/${port}`);
}
