// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import { Host, SPEAKERS } from '../../host/host.js';
import type { Guest } from '../../host/guest.js';
import { compare, countersOf, play, Recorder, type Place } from '../../lib/e2e-play.js';
import { frameBytesOf, noise } from '../../lib/e2e-signals.js';

const PLAYER_LATENCY_MS = 300;
/** The second guest's sound begins while the first one's goes on, and ends before. */
const FIRST = { seconds: 8, leadInSeconds: 1, seed: 1 };
const SECOND = { seconds: 3, leadInSeconds: 3, seed: 2 };
const format = { format: 's16le', rate: 48_000, channels: 2 };
const spec = 'format=s16le rate=48000 channels=2';

describe('end to end: two guests at once', function () {
  this.timeout(90_000);
  let host: Host;

  before(async () => {
    host = await Host.start({ guests: 2, nullSinkArgs: spec, sinkArgs: spec });
  });

  after(async () => {
    await host.stop();
  });

  it('are mixed: the sum has both, sample for sample', async () => {
    const [one, other] = host.guests;
    assert.ok(one && other);
    const first = noise(format, FIRST.seconds, FIRST.seed);
    const second = noise(format, SECOND.seconds, SECOND.seed);
    const placeOf = (guest: Guest): Place => ({ client: guest.client, sink: guest.sink ?? '' });
    const options = { latencyMs: PLAYER_LATENCY_MS };
    const recorder = await Recorder.start({ client: host.client, sink: SPEAKERS }, format, host.dir);
    const players = [
      await play(placeOf(one), first, format, one.dir, { ...options, leadInSeconds: FIRST.leadInSeconds }),
      await play(placeOf(other), second, format, other.dir, {
        ...options,
        leadInSeconds: SECOND.leadInSeconds,
      }),
    ];
    try {
      await Promise.all(players.map((player) => player.succeeded(60_000)));
      const mixed = await recorder.finish();
      const counters = [await countersOf(host, one), await countersOf(host, other)];

      // Found by what is heard of it alone, then taken away; what is left must be the other.
      const frameBytes = frameBytesOf(format);
      const alone = compare(first.subarray(0, format.rate * frameBytes), mixed, format);
      const rest = difference(mixed, first, alone.startFrame * frameBytes);
      const result = compare(second, rest, format);
      assert.equal(result.exact, true, JSON.stringify({ alone, result, counters }));
      const heardAt = result.startFrame * frameBytes;
      assert.ok(
        rest.subarray(0, heardAt).every((octet) => octet === 0),
        'the first guest alone, before',
      );
      assert.ok(
        rest.subarray(heardAt + second.length).every((octet) => octet === 0),
        'and after',
      );
    } finally {
      await Promise.all(players.map((player) => player.stop()));
      await recorder.stop();
    }
  });
});

/** The samples of `mixed` less those of `part`, which begins in it at that octet. */
function difference(mixed: Buffer, part: Buffer, atBytes: number): Buffer {
  const rest = Buffer.from(mixed);
  for (let at = 0; at < part.length && atBytes + at + 1 < rest.length; at += 2) {
    rest.writeInt16LE(mixed.readInt16LE(atBytes + at) - part.readInt16LE(at), atBytes + at);
  }
  return rest;
}
