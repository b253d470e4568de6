// SPDX-License-Identifier: LGPL-2.1-or-later
import { VOLUME_NORM } from '../../schemas/guest-record.js';
import type { ExplainedSetting } from '../api/audio-api.js';
import type { GuestPolicy } from './evaluate.js';

/** Each setting with its value as the file would have it, and what decided it. */
export const explainPolicy = (policy: GuestPolicy): ExplainedSetting[] => {
  const { limits } = policy;
  const values: Readonly<Record<string, string | number>> = {
    playback: policy.playback,
    capture: policy.capture,
    'volume-cap': percent(policy.volumeCap),
    volume: percent(policy.volume),
    mute: String(policy.mute),
    sink: policy.sink ?? 'default',
    source: policy.source ?? 'default',
    'latency.min-msec': policy.latencyMinMs,
    'latency.max-msec': policy.latencyMaxMs,
    'limits.streams': limits.streams,
    'limits.buffer-bytes': limits.bufferBytes,
    'limits.channels': limits.channels,
    'limits.rate-min': limits.rateMin,
    'limits.rate-max': limits.rateMax,
    attach: policy.attach,
  };
  return Object.entries(values).map(([setting, value]) => ({
    setting,
    value: String(value),
    rule: policy.reasons[setting] ?? '',
  }));
};

const percent = (volume: number): string => `${Math.round((volume * 100) / VOLUME_NORM)} %`;
