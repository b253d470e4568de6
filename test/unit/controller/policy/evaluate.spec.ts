// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { parsePolicy } from '../../../../controller/adapters/system/policy-file.js';
import { evaluatePolicy } from '../../../../controller/policy/evaluate.js';
import { explainPolicy } from '../../../../controller/policy/explain.js';
import type { GuestIdentity } from '../../../../controller/policy/match.js';
import { Policy } from '../../../../schemas/policy.js';

const UUID = '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10';
const OTHER = '11111111-1d6f-4f0e-9f2b-0a4f3f2c1b10';
const work: GuestIdentity = { uuid: UUID, xenName: 'work' };
const nameless: GuestIdentity = { uuid: UUID, xenName: '' };
const unknown: GuestIdentity = { uuid: '', xenName: '' };
const named = (xenName: string): GuestIdentity => ({ uuid: OTHER, xenName });

const TWO_RULES = `
rules:
  - name: the browser
    guests: [work, home]
    capture: deny
    volume-cap: 80
  - guests: w*
    capture: allow
    playback: deny
`;
const WITH_DEFAULT = `
default: { capture: deny, volume: 50, sink: out, limits: { streams: 4 } }
rules:
  - guests: work
    volume: 70
    limits: { channels: 2 }
`;

const BY_UUID = `
rules:
  - { name: this VM, guests: ${UUID.toUpperCase()}, volume: 30 }
  - guests: work
    volume: 40
  - { name: the others, guests: "*", volume: 50 }
`;
/** A rule under a default's cap. */
const LOUD = `
default: { volume-cap: 60 }
rules: [{ guests: work, volume: 90 }]
`;
const FIRST = 'rule 1 (policy.yaml:1)';

const SETTINGS = [
  'playback',
  'capture',
  'volume-cap',
  'volume',
  'mute',
  'sink',
  'source',
  'latency.min-msec',
  'latency.max-msec',
  'limits.streams',
  'limits.buffer-bytes',
  'limits.channels',
  'limits.rate-min',
  'limits.rate-max',
  'attach',
];

/** The file, the guest, the setting, its value, what decided. */
const TABLE: readonly (readonly [string, GuestIdentity, string, string, string])[] = [
  // what is built in
  ['', work, 'playback', 'allow', 'built-in'],
  ['', work, 'capture', 'ask', 'built-in'],
  ['', work, 'volume-cap', '100 %', 'built-in'],
  ['', work, 'volume', '100 %', 'built-in'],
  ['', work, 'mute', 'false', 'built-in'],
  ['', work, 'sink', 'default', 'built-in'],
  ['', work, 'source', 'default', 'built-in'],
  ['', work, 'attach', 'no', 'built-in'],
  ['', work, 'limits.streams', '16', 'built-in'],
  ['', work, 'limits.buffer-bytes', '262144', 'built-in'],
  ['', work, 'latency.min-msec', '1', 'built-in'],
  ['', unknown, 'capture', 'ask', 'built-in'],
  // the default
  ['default: { capture: deny }', work, 'capture', 'deny', 'default'],
  ['default: { capture: deny }', unknown, 'capture', 'deny', 'default'],
  ['default: { capture: deny }', work, 'playback', 'allow', 'built-in'],
  ['default: { attach: kernel }', work, 'attach', 'kernel', 'default'],
  // who is meant
  [`rules: [{ guests: ${UUID}, capture: allow }]`, work, 'capture', 'allow', FIRST],
  [`rules: [{ guests: ${UUID.toUpperCase()}, capture: allow }]`, work, 'capture', 'allow', FIRST],
  [`rules: [{ guests: ${UUID}, capture: allow }]`, nameless, 'capture', 'allow', FIRST],
  [`rules: [{ guests: ${UUID}, capture: allow }]`, named('work'), 'capture', 'ask', 'built-in'],
  [`rules: [{ guests: ${UUID}, capture: allow }]`, named(UUID), 'capture', 'ask', 'built-in'],
  [`rules: [{ guests: ${UUID}, capture: allow }]`, unknown, 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: work, capture: allow }]', named('Work'), 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: work, capture: allow }]', named('work2'), 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: "*", capture: allow }]', named('anything'), 'capture', 'allow', FIRST],
  ['rules: [{ guests: "*", capture: allow }]', unknown, 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: "w*k", capture: allow }]', work, 'capture', 'allow', FIRST],
  ['rules: [{ guests: "w*k", capture: allow }]', named('worker'), 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: "w??k", capture: allow }]', work, 'capture', 'allow', FIRST],
  ['rules: [{ guests: "w?k", capture: allow }]', work, 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: "*-*-vm?", capture: allow }]', named('a-b-c-vm1'), 'capture', 'allow', FIRST],
  ['rules: [{ guests: "w.rk", capture: allow }]', work, 'capture', 'ask', 'built-in'],
  // the first that names it decides, alone
  [TWO_RULES, work, 'capture', 'deny', 'rule 1 "the browser" (policy.yaml:3)'],
  [TWO_RULES, named('home'), 'volume-cap', '80 %', 'rule 1 "the browser" (policy.yaml:3)'],
  [TWO_RULES, work, 'playback', 'allow', 'built-in'],
  [TWO_RULES, named('web'), 'capture', 'allow', 'rule 2 (policy.yaml:7)'],
  [TWO_RULES, named('web'), 'playback', 'deny', 'rule 2 (policy.yaml:7)'],
  [TWO_RULES, named('web'), 'volume-cap', '100 %', 'built-in'],
  [TWO_RULES, named('mail'), 'capture', 'ask', 'built-in'],
  [WITH_DEFAULT, work, 'volume', '70 %', 'rule 1 (policy.yaml:4)'],
  [WITH_DEFAULT, named('other'), 'volume', '50 %', 'default'],
  [WITH_DEFAULT, work, 'capture', 'deny', 'default'],
  [WITH_DEFAULT, work, 'limits.channels', '2', 'rule 1 (policy.yaml:4)'],
  [WITH_DEFAULT, work, 'limits.streams', '4', 'default'],
  [WITH_DEFAULT, work, 'limits.rate-max', '192000', 'built-in'],
  [WITH_DEFAULT, work, 'sink', 'out', 'default'],
  // a rule without a word of its own still decides: no other rule is asked
  ['rules: [{ guests: work }, { guests: "*", capture: allow }]', work, 'capture', 'ask', 'built-in'],
  // a UUID decides for its VM whatever it is called, and before or after names as the order says
  [BY_UUID, work, 'volume', '30 %', 'rule 1 "this VM" (policy.yaml:3)'],
  [BY_UUID, nameless, 'volume', '30 %', 'rule 1 "this VM" (policy.yaml:3)'],
  [BY_UUID, { uuid: '', xenName: 'work' }, 'volume', '40 %', 'rule 2 (policy.yaml:4)'],
  [BY_UUID, named(UUID), 'volume', '50 %', 'rule 3 "the others" (policy.yaml:6)'],
  [BY_UUID, unknown, 'volume', '100 %', 'built-in'],
  // patterns are of names: one that looks like the beginning of a UUID is no UUID
  [`rules: [{ guests: "${UUID.slice(0, 9)}*", capture: allow }]`, work, 'capture', 'ask', 'built-in'],
  [`rules: [{ guests: "${UUID.slice(0, 9)}*", capture: allow }]`, named(UUID), 'capture', 'allow', FIRST],
  ['rules: [{ guests: "?", capture: allow }]', named('😀'), 'capture', 'allow', FIRST],
  ['rules: [{ guests: "work ?", capture: allow }]', named('work '), 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: "[wx]ork", capture: allow }]', work, 'capture', 'ask', 'built-in'],
  ['rules: [{ guests: [home, "w*"], capture: allow }]', work, 'capture', 'allow', FIRST],
  // percent are those of PulseAudio's mixers
  ['default: { volume-cap: 0 }', work, 'volume', '0 %', 'built-in, bound by volume-cap'],
  ['default: { volume-cap: 33, volume: 17 }', work, 'volume', '17 %', 'default'],
  ['default: { volume-cap: 150 }', work, 'volume-cap', '150 %', 'default'],
  // what goes together
  ['default: { volume-cap: 40 }', work, 'volume-cap', '40 %', 'default'],
  ['default: { volume-cap: 40 }', work, 'volume', '40 %', 'built-in, bound by volume-cap'],
  [LOUD, work, 'volume', '60 %', 'rule 1 (policy.yaml:3), bound by volume-cap'],
  ['default: { volume-cap: 150, volume: 120 }', work, 'volume', '120 %', 'default'],
  [
    'default: { limits: { rate-min: 384000 } }',
    work,
    'limits.rate-max',
    '384000',
    'built-in, bound by rate-min',
  ],
  [
    'default: { latency: { max-msec: 2 } }\nrules: [{ guests: work, latency: { min-msec: 5 } }]',
    work,
    'latency.max-msec',
    '5',
    'default, bound by min-msec',
  ],
  ['default: { latency: { min-msec: 20, max-msec: 40 } }', work, 'latency.min-msec', '20', 'default'],
  ['default: { sink: default }', work, 'sink', 'default', 'default'],
  ['default: { mute: true, source: mic }', work, 'mute', 'true', 'default'],
  ['default: { mute: true, source: mic }', work, 'source', 'mic', 'default'],
];

describe('evaluatePolicy', () => {
  for (const [text, guest, setting, value, rule] of TABLE) {
    const who =
      guest.xenName === ''
        ? guest.uuid === ''
          ? 'a guest without name or UUID'
          : 'a nameless guest'
        : guest.xenName;
    it(`says ${setting}: ${value} (${rule}) of ${who} by ${JSON.stringify(text.trim())}`, () => {
      const explained = explainPolicy(evaluatePolicy(parsePolicy('/etc/xen-audio/policy.yaml', text), guest));
      assert.deepEqual(
        explained.find((entry) => entry.setting === setting),
        { setting, value, rule },
      );
    });
  }

  it('says of all settings what decided, in the order of the file', () => {
    const explained = explainPolicy(evaluatePolicy(parsePolicy('f', ''), work));
    assert.deepEqual(
      explained.map(({ setting }) => setting),
      SETTINGS,
    );
  });

  it('counts volumes as PulseAudio does', () => {
    const { volume, volumeCap } = evaluatePolicy(
      parsePolicy('f', 'default: { volume: 50, volume-cap: 150 }'),
      work,
    );
    assert.deepEqual([volume, volumeCap], [32_768, 98_304]);
  });

  it('leaves to the server what is to be its default', () => {
    const { sink, source } = evaluatePolicy(
      parsePolicy('f', 'default: { sink: default, source: mic }'),
      work,
    );
    assert.deepEqual([sink, source], [undefined, 'mic']);
  });

  it('does without the place of a policy that is not of a file', () => {
    const policy = Policy.parse({ rules: [{ name: 'all', guests: '*', mute: true }] });
    assert.equal(evaluatePolicy(policy, work).reasons['mute'], 'rule 1 "all"');
  });

  it('does not take long over a pattern made to be slow', () => {
    const policy = parsePolicy('f', `rules: [{ guests: "${'*a'.repeat(60)}b" }]`);
    const begin = performance.now();
    evaluatePolicy(policy, named('a'.repeat(128)));
    assert.ok(performance.now() - begin < 100);
  });
});
