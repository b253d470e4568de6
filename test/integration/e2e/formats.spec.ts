// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host, soundCard } from '../../host/host.js';
import type { Guest } from '../../host/guest.js';
import {
  argumentsOf,
  arrivesConverted,
  arrivesExactly,
  base,
  channelMapOf,
  convertedRows,
  exactRows,
  FormatTable,
  nameOf,
  WIDE_BUFFER_BYTES,
  WIDE_LIMITS,
} from '../../lib/e2e-formats.js';
import { logFrom } from '../../lib/e2e-lifecycle.js';
import { playAndRecord } from '../../lib/e2e-play.js';
import type { StreamFormat } from '../../lib/pulse.js';
import type { VsndCard } from '../../lib/toolstack.js';

const LEAD_IN_SECONDS = 0.5;
const PLAYER_LATENCY_MS = 500;
const DOM0_SINK = 'row';

const cards: Record<'wide' | 'narrow', VsndCard> = {
  wide: { ...soundCard('wide'), bufferSizeBytes: WIDE_BUFFER_BYTES },
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

describe('end to end: sample formats, rates and channels', function () {
  this.timeout(60_000);
  let host: Host;
  let guest: Guest;
  const table = new FormatTable();

  before(async () => {
    host = await Host.start({ policy: { sink: DOM0_SINK, ...WIDE_LIMITS } });
    guest = await host.addGuest();
  });

  after(async () => {
    await host.stop();
    table.print();
  });

  /** Sends a signal through a card and sink of the guest and a sink of dom0 that are made for it. */
  async function send(
    guestSpec: StreamFormat,
    dom0Spec: StreamFormat,
    pcm: Buffer,
    sampleFormat?: string,
  ): Promise<Buffer> {
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
        format: { ...guestSpec, format: sampleFormat ?? guestSpec.format },
        recordedFormat: { ...dom0Spec, format: sampleFormat ?? dom0Spec.format },
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

  for (const spec of exactRows) {
    it(`carries ${nameOf(spec)} sample for sample`, async () => {
      await table.note(nameOf(spec), 'the same', 'exact', () => arrivesExactly(spec, send));
    });
  }

  for (const { guest: sent, dom0 } of convertedRows) {
    it(`lets dom0 convert ${nameOf(sent)} to ${nameOf(dom0)}`, async () => {
      await table.note(nameOf(sent), nameOf(dom0), 'converted', () => arrivesConverted(sent, dom0, send));
    });
  }

  for (const { card, spec, message } of refusedRows) {
    it(`refuses ${nameOf(spec)} on a ${card} card, and says why`, async () => {
      await table.note(`${nameOf(spec)} (${card} card)`, '-', 'refused', async () => {
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
