// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import type { Guest, Stream } from '../../../../controller/ctl/client/shapes.js';
import { bar, frame } from '../../../../controller/ctl/monitor/frame.js';
import { PLAIN, styleFor } from '../../../../controller/ctl/show/style.js';
import { displayWidth } from '../../../../controller/ctl/show/text.js';

const stream = (values: Partial<Stream>): Stream => ({
  device: 'vsnd-0/0/0',
  direction: 'playback',
  state: 'playing',
  format: 's16_le',
  rate: 48_000,
  channels: 2,
  positionFrames: 0,
  underruns: 2,
  overruns: 0,
  lateBytes: 0,
  latencyUsec: 20_000,
  level: 1,
  ...values,
});

const guest = (values: Partial<Guest>): Guest => ({
  id: 'u1',
  name: 'work',
  uuid: '',
  domid: 1,
  state: 'connected',
  playbackAllowed: true,
  playbackActive: true,
  captureRequested: false,
  captureAllowed: false,
  captureActive: false,
  capturePolicy: 'ask',
  captureAllowedUntilUsec: 0,
  captureDeadlineUsec: 0,
  volume: 0.8,
  volumeCap: 1,
  mute: false,
  sink: '',
  source: '',
  latencyUsec: 22_000,
  streams: [stream({})],
  ...values,
});

describe('a picture of the monitor', () => {
  it('has levels, latency and underruns of each guest', () => {
    const quiet = guest({ name: 'quiet', playbackActive: false, latencyUsec: 0, streams: [] });
    const recording = guest({
      name: 'rec',
      captureActive: true,
      streams: [
        stream({ underruns: 1 }),
        stream({ underruns: 4, level: 0.1 }),
        stream({ direction: 'capture', level: 0.001, underruns: 9 }),
      ],
    });

    assert.deepEqual(
      frame([guest({}), quiet, recording], { columns: 80, rows: 24 }, PLAIN).map((line) => line.trimEnd()),
      [
        'GUEST        STATE       PLAYBACK      VOLUME   LATENCY  UNDERRUNS  MICROPHONE',
        'work         connected   ############    80 %     22 ms          2  on request',
        'quiet        connected   idle            80 %         -          0  on request',
        'rec          connected   ############    80 %     22 ms          5  ............',
        '',
        'q or Ctrl-C: quit',
      ],
    );
  });

  for (const columns of [1, 2, 7, 8, 12, 20, 30, 40, 60, 80, 100, 300]) {
    for (const rows of [1, 2, 3, 5, 24]) {
      it(`fits ${columns} by ${rows}`, () => {
        const guests = Array.from({ length: 9 }, (_, index) =>
          guest({ id: `u${index}`, name: '音'.repeat(99) }),
        );
        for (const what of [guests, [], undefined]) {
          const lines = frame(what, { columns, rows }, PLAIN);

          assert.ok(lines.length <= rows);
          for (const line of lines) assert.ok(displayWidth(line) <= columns, JSON.stringify(line));
        }
      });
    }
  }

  it('gives up the least useful first where it is narrow', () => {
    const titles = (columns: number): string =>
      (frame([guest({})], { columns, rows: 9 }, PLAIN)[0] ?? '').trim().split(/ +/).join(' ');

    assert.equal(titles(80), 'GUEST STATE PLAYBACK VOLUME LATENCY UNDERRUNS MICROPHONE');
    assert.equal(titles(70), 'GUEST PLAYBACK VOLUME LATENCY UNDERRUNS MICROPHONE');
    assert.equal(titles(60), 'GUEST PLAYBACK LATENCY UNDERRUNS MICROPHONE');
    assert.equal(titles(45), 'GUEST PLAYBACK LATENCY UNDERRUNS');
    assert.equal(titles(35), 'GUEST PLAYBACK LATENCY');
    assert.equal(titles(25), 'GUEST PLAYBACK');
    assert.equal(titles(10), 'GUEST');
  });

  it('says how many guests it has no room for', () => {
    const guests = Array.from({ length: 9 }, (_, index) => guest({ id: `u${index}` }));

    assert.deepEqual(frame(guests, { columns: 40, rows: 6 }, PLAIN).slice(-2), [
      'and 6 more',
      'q or Ctrl-C: quit',
    ]);
  });

  it('makes no difference of width with colours', () => {
    const coloured = styleFor(true, {});
    const picture = frame([guest({ captureActive: true })], { columns: 100, rows: 9 }, coloured);

    assert.match(picture[1] ?? '', /\x1b\[31m/); // eslint-disable-line no-control-regex -- the colour
    assert.deepEqual(
      picture.map((line) => line.replace(/\x1b\[\d+m/g, '')), // eslint-disable-line no-control-regex
      frame([guest({ captureActive: true })], { columns: 100, rows: 9 }, PLAIN),
    );
  });

  it('has a place for a daemon that is away', () => {
    assert.equal(
      frame(undefined, { columns: 80, rows: 9 }, PLAIN)[0],
      'xen-audiod is not running; waiting for it',
    );
  });

  it('draws levels by their decibels', () => {
    assert.equal(bar(1, 12), '############');
    assert.equal(bar(7, 12), '############');
    assert.equal(bar(0.1, 12), '########....');
    assert.equal(bar(0.001, 12), '............');
    assert.equal(bar(0, 12), '............');
    assert.equal(bar(-1, 12), '............');
  });
});
