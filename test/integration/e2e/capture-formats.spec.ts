// SPDX-License-Identifier: LGPL-2.1-or-later
import { Host, soundCard } from '../../host/host.js';
import type { Guest } from '../../host/guest.js';
import { captureAndRecord } from '../../lib/e2e-capture.js';
import {
  argumentsOf,
  arrivesConverted,
  arrivesExactly,
  channelMapOf,
  convertedRows,
  exactRows,
  FormatTable,
  nameOf,
  WIDE_BUFFER_BYTES,
  WIDE_LIMITS,
} from '../../lib/e2e-formats.js';
import type { StreamFormat } from '../../lib/pulse.js';

const FEED = 'row';
const card = { ...soundCard('wide'), bufferSizeBytes: WIDE_BUFFER_BYTES };

describe('end to end: sample formats, rates and channels that a guest records', function () {
  this.timeout(60_000);
  let host: Host;
  let guest: Guest;
  const table = new FormatTable();

  before(async () => {
    host = await Host.start({ policy: { source: `${FEED}.monitor`, ...WIDE_LIMITS } });
    guest = await host.addGuest();
    await host.allowCapture(guest);
  });

  after(async () => {
    await host.stop();
    table.print();
  });

  /** Speaks into a microphone of dom0's that is made for it; a card and source of the guest, likewise, record it. */
  async function record(
    spoken: StreamFormat,
    recorded: StreamFormat,
    pcm: Buffer,
    sampleFormat?: string,
  ): Promise<Buffer> {
    const channelMap = channelMapOf(spoken.channels);
    const feed = await host.client.loadModule(
      'module-null-sink',
      `sink_name=${FEED} norewinds=1 ${argumentsOf(spoken)} channel_map=${channelMap}`,
    );
    await host.changeCard(guest, card); // who connects again and again is made to wait
    const source = await guest.loadSource(argumentsOf(recorded));
    try {
      await guest.connected();
      const { heard } = await captureAndRecord({
        host,
        guest,
        feed: FEED,
        pcm,
        format: { ...spoken, format: sampleFormat ?? spoken.format },
        channelMap,
        recordedFormat: { ...recorded, format: sampleFormat ?? recorded.format },
        recordedChannelMap: channelMapOf(recorded.channels),
      });
      return heard;
    } finally {
      await guest.unloadSource(source);
      await host.client.unloadModule(feed);
    }
  }

  for (const spec of exactRows) {
    it(`carries ${nameOf(spec)} sample for sample`, async () => {
      await table.note(nameOf(spec), 'the same', 'exact', () => arrivesExactly(spec, record));
    });
  }

  for (const { guest: recorded, dom0 } of convertedRows) {
    it(`lets dom0 convert ${nameOf(dom0)} to ${nameOf(recorded)}`, async () => {
      await table.note(nameOf(recorded), nameOf(dom0), 'converted', () =>
        arrivesConverted(dom0, recorded, record),
      );
    });
  }
});
