// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { describeFault, tryParseCard, type RawCard } from '../../../../controller/sndif/card.js';

const PATH = '/local/domain/7/device/vsnd/0';

const STREAM = {
  type: 'p',
  'unique-id': 'out',
  'ring-ref': '8',
  'event-channel': '11',
  'evt-ring-ref': '9',
  'evt-event-channel': '12',
};

type Nodes = Record<string, string | undefined>;

const present = (nodes: Nodes): Record<string, string> =>
  Object.fromEntries(
    Object.entries(nodes).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );

const card = (levels: { card?: Nodes; pcm?: Nodes; stream?: Nodes } = {}): RawCard => ({
  path: PATH,
  nodes: present({ version: '2', ...levels.card }),
  pcms: [{ nodes: present({ ...levels.pcm }), streams: [present({ ...STREAM, ...levels.stream })] }],
});

const BAD_NUMBERS = [
  '',
  ' 1',
  '1 ',
  '+1',
  '-1',
  '01',
  '0x10',
  '1.0',
  '1e3',
  'one',
  '4294967296',
  '99999999999',
  '1\0',
];

/** Level, node, value, what the message says was expected. */
const BAD: readonly (readonly ['card' | 'pcm' | 'stream', string, string | undefined, RegExp])[] = [
  ...BAD_NUMBERS.map((value) => ['stream', 'ring-ref', value, /grant reference: a decimal number/] as const),
  ...BAD_NUMBERS.map((value) => ['stream', 'evt-event-channel', value, /port: a decimal number/] as const),
  ['stream', 'ring-ref', '0', /from 1 to 4294967295/],
  ['stream', 'evt-ring-ref', '0', /from 1/],
  ['stream', 'evt-ring-ref', '8', /another page than ring-ref/],
  ['stream', 'event-channel', '131072', /from 1 to 131071/],
  ['stream', 'event-channel', '0', /from 1/],
  ['stream', 'evt-event-channel', '11', /another port than event-channel/],
  ['stream', 'ring-ref', undefined, /other transport nodes are there/],
  ['stream', 'event-channel', undefined, /other transport nodes are there/],
  ['stream', 'evt-ring-ref', undefined, /other transport nodes are there/],
  ['stream', 'evt-event-channel', undefined, /other transport nodes are there/],
  ['stream', 'ring-ref', '8'.repeat(5000), /at most 4096 octets/],
  ['stream', 'unique-id', 'x'.repeat(4097), /at most 4096 octets/],
  ['stream', 'type', undefined, /p \(playback\) or c \(capture\)/],
  ['stream', 'type', 'P', /p \(playback\)/],
  ['stream', 'type', 'pc', /p \(playback\)/],
  ['stream', 'channels-min', '0', /channels: a decimal number from 1 to 255/],
  ['stream', 'channels-max', '256', /from 1 to 255/],
  ['pcm', 'channels-max', '-2', /from 1 to 255/],
  ['pcm', 'buffer-size', '0', /octets: a decimal number from 1/],
  ['card', 'buffer-size', '65536 ', /octets/],
  ['card', 'sample-rates', '', /list of sample rates/],
  ['card', 'sample-rates', '44100, 48000', /without blanks/],
  ['card', 'sample-rates', '44100,,48000', /list of sample rates/],
  ['card', 'sample-rates', ',', /list of sample rates/],
  ['card', 'sample-rates', '44100;48000', /decimal numbers in Hz/],
  ['card', 'sample-rates', '0', /decimal numbers in Hz/],
  ['card', 'sample-rates', '999999999999', /list of sample rates/],
  ['card', 'sample-rates', Array<string>(65).fill('8000').join(','), /at most 64/],
  ['pcm', 'sample-formats', 'S16_LE', /sample formats of sndif.h/],
  ['pcm', 'sample-formats', 's16_le,wav', /sample formats of sndif.h/],
  ['pcm', 'sample-formats', 'constructor', /sample formats of sndif.h/],
  ['pcm', 'sample-formats', '__proto__', /sample formats of sndif.h/],
  ['pcm', 'sample-formats', 's16_le '.repeat(4), /list of sample formats/],
  ['stream', 'sample-formats', 'x'.repeat(25), /list of sample formats/],
  ['card', 'version', '1', /from 2 to 2/],
  ['card', 'version', '3', /from 2 to 2/],
  ['card', 'version', '1,2', /from 2 to 2/],
  ['card', 'feature-latency', '2', /feature: a decimal number from 0 to 1/],
  ['card', 'feature-alive', 'yes', /feature/],
  ['card', 'feature-wakeup', '', /feature/],
];

describe('tryParseCard', () => {
  for (const [level, node, value, expected] of BAD) {
    const shown = value === undefined ? 'left out' : JSON.stringify(value).slice(0, 30);
    it(`refuses ${level} ${node} ${shown}`, () => {
      const parsed = tryParseCard(card({ [level]: { [node]: value } }));

      assert.ok(!parsed.ok);
      const directory = { card: PATH, pcm: `${PATH}/0`, stream: `${PATH}/0/0` }[level];
      assert.equal(parsed.fault.path, `${directory}/${node}`);
      assert.equal(parsed.fault.value, value);
      assert.match(parsed.fault.expected, expected);
    });
  }

  it('refuses channels-min above channels-max', () => {
    const parsed = tryParseCard(card({ pcm: { 'channels-min': '3', 'channels-max': '2' } }));

    assert.ok(!parsed.ok);
    assert.equal(
      describeFault(parsed.fault),
      `${PATH}/0/channels-min: found "3", expected at most channels-max, which is 2`,
    );
  });

  it('refuses a card without PCM devices and a PCM device without streams', () => {
    for (const pcms of [[], [{ nodes: {}, streams: [] }]]) {
      assert.equal(tryParseCard({ path: PATH, nodes: {}, pcms }).ok, false);
    }
  });

  it('shows what a guest wrote without letting it break the line', () => {
    const parsed = tryParseCard(card({ stream: { type: 'x\n\u001b[2Jerror \u202e' } }));

    assert.ok(!parsed.ok);
    assert.match(describeFault(parsed.fault), /^[\x20-\x7e]+$/);
  });

  it('reads a whole card', () => {
    const parsed = tryParseCard(
      card({
        card: { 'feature-latency': '1', 'sample-rates': '44100,48000', 'sample-formats': 's16_le,f32_le' },
      }),
    );

    assert.ok(parsed.ok);
    assert.equal(parsed.value.linuxQuirks, false);
    assert.deepEqual([parsed.value.latency, parsed.value.wakeup, parsed.value.alive], [true, false, false]);
    const [stream] = parsed.value.streams;
    assert.deepEqual(stream?.transport, { ringRef: 8, eventChannel: 11, evtRingRef: 9, evtEventChannel: 12 });
    assert.equal(stream.direction, 'playback');
    assert.deepEqual(stream.levels[0]?.['sample-formats'], ['s16_le', 'float_le']);
  });

  it('takes a frontend without version for one with the quirks of Linux', () => {
    const parsed = tryParseCard(card({ card: { version: undefined } }));

    assert.ok(parsed.ok && parsed.value.linuxQuirks);
  });

  it('takes a stream without any transport node as left out', () => {
    const none = { 'ring-ref': undefined, 'event-channel': undefined };
    const parsed = tryParseCard(
      card({ stream: { ...none, 'evt-ring-ref': undefined, 'evt-event-channel': undefined } }),
    );

    assert.ok(parsed.ok);
    assert.equal(parsed.value.streams[0]?.transport, undefined);
  });
});
