// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { evaluateConnection, offeredCapabilities } from '../../../../controller/policy/limits.js';
import {
  CARRIED_FORMATS,
  narrowStream,
  type Capabilities,
} from '../../../../controller/sndif/capabilities.js';
import { policyWith } from '../../../lib/policies.js';
import type { HwParams } from '../../../../schemas/sndif.js';

const { limits } = policyWith({});
const offered = offeredCapabilities(limits);

const narrow = (...levels: HwParams[]): Capabilities | string => {
  const narrowed = narrowStream(offered, {
    pcm: 0,
    stream: 0,
    direction: 'playback',
    uniqueId: undefined,
    transport: undefined,
    levels,
  });
  return narrowed.ok ? narrowed.value : narrowed.reason;
};

const reason = (...levels: HwParams[]): string => {
  const narrowed = narrow(...levels);
  return typeof narrowed === 'string' ? narrowed : assert.fail('it was not refused');
};

describe('narrowStream', () => {
  it('offers all that dom0 supports when no level says anything', () => {
    assert.deepEqual(narrow({}, {}, {}), {
      formats: CARRIED_FORMATS,
      rates: [],
      rateMin: 8000,
      rateMax: 192_000,
      channelsMin: 1,
      channelsMax: 8,
      bufferBytesMax: 262_144,
    });
  });

  it('intersects card, PCM device and stream', () => {
    const value = narrow(
      {
        'sample-rates': [44_100, 48_000, 96_000],
        'sample-formats': ['s16_le', 's32_le'],
        'buffer-size': 65_536,
      },
      { 'sample-rates': [48_000, 96_000], 'channels-min': 2 },
      { 'sample-rates': [48_000], 'sample-formats': ['s16_le'], 'channels-max': 2, 'buffer-size': 32_768 },
    );

    assert.deepEqual(value, {
      formats: ['s16_le'],
      rates: [48_000],
      rateMin: 48_000,
      rateMax: 48_000,
      channelsMin: 2,
      channelsMax: 2,
      bufferBytesMax: 32_768,
    });
  });

  it('lets a lower level only narrow', () => {
    const value = narrow(
      { 'channels-max': 2, 'buffer-size': 8192, 'sample-formats': ['s16_le'] },
      { 'channels-max': 6, 'buffer-size': 65_536, 'sample-formats': ['s16_le', 'u8'] },
    );

    assert.ok(typeof value !== 'string');
    assert.deepEqual([value.channelsMax, value.bufferBytesMax, value.formats], [2, 8192, ['s16_le']]);
  });

  it('keeps to the limits whatever the guest writes', () => {
    const value = narrow({
      'sample-rates': [4000, 8000, 384_000],
      'channels-max': 255,
      'buffer-size': 0xffff_ffff,
    });

    assert.ok(typeof value !== 'string');
    assert.deepEqual([value.rates, value.channelsMax, value.bufferBytesMax], [[8000], 8, 262_144]);
  });

  it('says what is empty', () => {
    assert.match(reason({ 'sample-formats': ['mpeg', 's8'] }), /none of its sample-formats/);
    assert.match(reason({ 'sample-rates': [4000] }), /none of its sample-rates/);
    assert.match(reason({ 'sample-rates': [44_100] }, { 'sample-rates': [48_000] }), /sample-rates/);
    assert.match(reason({ 'channels-min': 9 }), /needs 9 channels, at most 8/);
  });
});

describe('evaluateConnection', () => {
  it('allows streams up to the limit and gives its reasons', () => {
    assert.equal(evaluateConnection(limits, 10, 6).allowed, true);
    const denied = evaluateConnection(limits, 10, 7);
    assert.equal(denied.allowed, false);
    assert.match(denied.reason, /17 streams, policy's limits.streams is 16/);
  });
});
