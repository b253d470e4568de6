// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host, soundCard } from '../../host/host.js';
import type { Guest } from '../../host/guest.js';
import { logFrom } from '../../lib/e2e-lifecycle.js';
import { compare, playAndRecord } from '../../lib/e2e-play.js';
import { CARRIED_FORMATS, chirp, firstChannel, likeness, noise, toS16 } from '../../lib/e2e-signals.js';
import type { StreamFormat } from '../../lib/pulse.js';
import type { VsndCard } from '../../lib/toolstack.js';

const SECONDS = 1;
const LEAD_IN_SECONDS = 0.5;
const PLAYER_LATENCY_MS = 300;
const RATES = [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 88_200, 96_000, 192_000];
/** The block of a null sink with norewinds=1, and then some. */
const BLOCK_SECONDS = 0.05;
const DOM0_SINK = 'row';
/** Holds 40 ms of the widest stream. */
const BUFFER_BYTES = 262_144;

/** The order in which sndif's frontends send channels: ALSA's. */
const ALSA_POSITIONS = [
  'front-left',
  'front-right',
  'rear-left',
  'rear-right',
  'front-center',
  'lfe',
  'side-left',
  'side-right',
];

function channelMapOf(channels: number): string {
  const wide = [4, 5, 6, 8].includes(channels);
  if (channels === 1) {
    return 'mono';
  }
  return wide ? ALSA_POSITIONS.slice(0, channels).join(',') : oddMapOf(channels);
}

/** Three and seven have no layout of their own: the next smaller one, and a channel without a place. */
function oddMapOf(channels: number): string {
  const known = channels === 3 ? 2 : channels === 7 ? 6 : channels;
  return [...ALSA_POSITIONS.slice(0, known), ...(known < channels ? ['aux0'] : [])].join(',');
}

const nameOf = ({ format, rate, channels }: StreamFormat): string =>
  `${format}, ${rate} Hz, ${channels} ${channels === 1 ? 'channel' : 'channels'}`;

const argumentsOf = ({ format, rate, channels }: StreamFormat): string =>
  `format=${format} rate=${rate} channels=${channels}`;

const base: StreamFormat = { format: 's16le', rate: 48_000, channels: 2 };

const exactRows: StreamFormat[] = [
  ...CARRIED_FORMATS.map((format) => ({ ...base, format })),
  ...RATES.filter((rate) => rate !== base.rate).map((rate) => ({ ...base, rate })),
  ...[1, 3, 4, 5, 6, 7, 8].map((channels) => ({ ...base, channels })),
  { format: 'float32le', rate: 96_000, channels: 6 },
  { format: 's24-32le', rate: 192_000, channels: 2 },
  { format: 's32le', rate: 192_000, channels: 8 },
  { format: 'alaw', rate: 8000, channels: 1 },
];

const convertedRows: { guest: StreamFormat; dom0: StreamFormat }[] = [
  { guest: { ...base, rate: 44_100 }, dom0: base },
  { guest: base, dom0: { ...base, rate: 44_100 } },
  { guest: { ...base, rate: 8000, channels: 1 }, dom0: base },
  { guest: { ...base, rate: 192_000 }, dom0: base },
  { guest: { ...base, channels: 1 }, dom0: base },
  { guest: { ...base, channels: 6 }, dom0: base },
  { guest: base, dom0: { ...base, format: 'float32le' } },
];

const cards: Record<'wide' | 'narrow', VsndCard> = {
  wide: { ...soundCard('wide'), bufferSizeBytes: BUFFER_BYTES },
  narrow: {
    ...soundCard('narrow'),
    sampleFormats: ['s16_le'],
    sampleRates: [48_000],
    channelsMax: 2,
  },
};

const refusedRows: { card: keyof typeof cards; spec: StreamFormat; message: RegExp }[] = [
  {
    card: 'wide',
    spec: { ...base, format: 's24le' },
    message: /format=s24le cannot be carried by sndif; .*s24-32le/,
  },
  {
    card: 'wide',
    spec: { ...base, format: 's24be' },
    message: /format=s24be cannot be carried by sndif; .*s24-32be/,
  },
  {
    card: 'wide',
    spec: { ...base, channels: 9 },
    message: /channels=9: expected a number from 1 to 8/,
  },
  {
    card: 'wide',
    spec: { ...base, rate: 4000 },
    message: /rate=4000: expected a number from 8000 to 192000/,
  },
  {
    card: 'wide',
    spec: { ...base, rate: 384_000 },
    message: /rate=384000: expected a number from 8000 to 192000/,
  },
  {
    card: 'narrow',
    spec: { ...base, format: 's32le' },
    message: /format s32_le is not among its sample-formats/,
  },
  { card: 'narrow', spec: { ...base, rate: 44_100 }, message: /rate 44100 Hz is not among its sample-rates/ },
  { card: 'narrow', spec: { ...base, channels: 6 }, message: /6 channels are not within its \d+ to 2/ },
];

/** One line of the table that is printed at the end. */
interface Line {
  guest: string;
  dom0: string;
  result: string;
  detail: string;
}

function printTable(lines: Line[]): void {
  const columns: (keyof Line)[] = ['guest', 'dom0', 'result', 'detail'];
  const heading: Line = { guest: 'guest', dom0: 'dom0', result: 'result', detail: '' };
  const widths = columns.map((column) => Math.max(...[heading, ...lines].map((line) => line[column].length)));
  for (const line of [heading, ...lines]) {
    console.log(
      `    ${columns.map((column, at) => line[column].padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd(),
    );
  }
}

describe('end to end: sample formats, rates and channels', function () {
  this.timeout(60_000);
  let host: Host;
  let guest: Guest;
  const lines: Line[] = [];

  before(async () => {
    host = await Host.start({ config: { pulse: { sink: DOM0_SINK } } });
    guest = await host.addGuest();
  });

  after(async () => {
    await host.stop();
    printTable(lines);
  });

  /** Sends a signal through a card and sink of the guest and a sink of dom0 that are made for it. */
  async function send(guestSpec: StreamFormat, dom0Spec: StreamFormat, pcm: Buffer): Promise<Buffer> {
    const toMap = channelMapOf(dom0Spec.channels);
    const dom0Sink = await host.client.loadModule(
      'module-null-sink',
      `sink_name=${DOM0_SINK} norewinds=1 ${argumentsOf(dom0Spec)} channel_map=${toMap}`,
    );
    await host.changeCard(guest, cards.wide); // who connects again and again is made to wait
    const guestSink = await guest.loadSink(argumentsOf(guestSpec));
    try {
      await guest.connected();
      return await playAndRecord({
        from: { client: guest.client, sink: guest.sink ?? '' },
        to: { client: host.client, sink: DOM0_SINK },
        pcm,
        format: guestSpec,
        recordedFormat: dom0Spec,
        recordedChannelMap: toMap,
        dir: guest.dir,
        options: {
          latencyMs: PLAYER_LATENCY_MS,
          leadInSeconds: LEAD_IN_SECONDS,
          channelMap: channelMapOf(guestSpec.channels),
        },
      });
    } finally {
      await guest.client.unloadModule(guestSink);
      await host.client.unloadModule(dom0Sink);
    }
  }

  /** Runs a row and notes it in the table, whatever becomes of it. */
  async function note(
    line: Omit<Line, 'result' | 'detail'>,
    result: string,
    run: () => Promise<string>,
  ): Promise<void> {
    const noted = { ...line, result: 'FAILED', detail: '' };
    lines.push(noted);
    noted.detail = await run();
    noted.result = result;
  }

  for (const spec of exactRows) {
    it(`carries ${nameOf(spec)} sample for sample`, async () => {
      await note({ guest: nameOf(spec), dom0: 'the same' }, 'exact', async () => {
        const pcm = noise(spec, SECONDS);
        const result = compare(pcm, await send(spec, spec, pcm), spec);
        assert.equal(result.exact, true, JSON.stringify(result));
        return `${result.matchedFrames} frames`;
      });
    });
  }

  for (const { guest: sent, dom0 } of convertedRows) {
    it(`lets dom0 convert ${nameOf(sent)} to ${nameOf(dom0)}`, async () => {
      await note({ guest: nameOf(sent), dom0: nameOf(dom0) }, 'converted', async () => {
        const heardAs = { ...dom0, format: 's16le' };
        const received = await send(sent, heardAs, toS16(chirp(sent.rate, SECONDS), sent.channels));
        const found = likeness(chirp(dom0.rate, SECONDS), firstChannel(received, dom0.channels), dom0.rate);
        const text = `${found.seconds.toFixed(3)} s, correlation ${found.correlation.toFixed(4)}, ${found.gainDb.toFixed(2)} dB`;
        assert.ok(Math.abs(found.seconds - SECONDS) < BLOCK_SECONDS, text);
        assert.ok(found.correlation > 0.99, text);
        assert.ok(Math.abs(found.gainDb) < 1, text);
        return text;
      });
    });
  }

  for (const { card, spec, message } of refusedRows) {
    it(`refuses ${nameOf(spec)} on a ${card} card, and says why`, async () => {
      await note({ guest: `${nameOf(spec)} (${card} card)`, dom0: '-' }, 'refused', async () => {
        await host.changeCard(guest, cards[card]);
        const log = logFrom(guest.pulse.logFile);
        await assert.rejects(guest.loadSink(argumentsOf(spec)), message);
        const said = log()
          .split('\n')
          .findLast((line) => message.test(line));
        assert.ok(said !== undefined, log());
        return said.replace(/^.*module-xen-sink\.c: /, '');
      });
    });
  }
});
