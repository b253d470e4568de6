// SPDX-License-Identifier: LGPL-2.1-or-later
import { VOLUME_NORM } from '../../schemas/guest-record.js';
import type { PolicyRule, PolicySettings } from '../../schemas/policy.js';
import { matchesGuest, type GuestIdentity } from './match.js';

/** A rule, and where it stands, for messages: `policy.yaml:12`. */
export type PlacedRule = PolicyRule & { readonly place?: string };

/** A policy that has been checked; every `Policy` of schemas/policy.ts is one. */
export interface PlacedPolicy {
  readonly default: PolicySettings;
  readonly rules: readonly PlacedRule[];
}

/** What a guest may have. */
export interface GuestLimits {
  readonly streams: number;
  readonly bufferBytes: number;
  readonly channels: number;
  /** Hz. */
  readonly rateMin: number;
  readonly rateMax: number;
}

/** All that policy says of a guest. */
export interface GuestPolicy {
  readonly playback: 'allow' | 'deny';
  readonly capture: 'allow' | 'deny' | 'ask';
  /** 65536 is 100 % (`pa_volume_t`), as in the next. */
  readonly volumeCap: number;
  /** Not above the cap. */
  readonly volume: number;
  readonly mute: boolean;
  /** Undefined: the server's default, as in the next. */
  readonly sink: string | undefined;
  readonly source: string | undefined;
  readonly latencyMinMs: number;
  readonly latencyMaxMs: number;
  readonly limits: GuestLimits;
  readonly attach: 'no' | 'modules' | 'kernel';
  /** By the settings' names in the file: what decided, as `rule 2 "browser VMs" (policy.yaml:12)`, `default`, `built-in`. */
  readonly reasons: Readonly<Record<string, string>>;
}

/** What holds where the file says nothing: everybody plays, nobody records unless somebody allows it. */
const BUILT_IN = {
  playback: 'allow',
  capture: 'ask',
  'volume-cap': 100,
  volume: 100,
  mute: false,
  sink: 'default',
  source: 'default',
  latency: { 'min-msec': 1, 'max-msec': 2000 },
  limits: { streams: 16, 'buffer-bytes': 262_144, channels: 8, 'rate-min': 8000, 'rate-max': 192_000 },
  attach: 'no',
} as const satisfies PolicySettings;

/** What policy says of a guest: the first rule that names it, then the default, then what is built in. */
export const evaluatePolicy = (policy: PlacedPolicy, guest: GuestIdentity): GuestPolicy => {
  const { pick, bound, reasons } = picker(policy, guest);
  const { latency, limits } = BUILT_IN;
  const cap = pick('volume-cap', (said) => said['volume-cap'], BUILT_IN['volume-cap']);
  const volume = pick('volume', ({ volume: percent }) => percent, BUILT_IN.volume);
  const latencyMinMs = pick('latency.min-msec', (said) => said.latency?.['min-msec'], latency['min-msec']);
  const latencyMaxMs = pick('latency.max-msec', (said) => said.latency?.['max-msec'], latency['max-msec']);
  const rateMin = pick('limits.rate-min', (said) => said.limits?.['rate-min'], limits['rate-min']);
  const rateMax = pick('limits.rate-max', (said) => said.limits?.['rate-max'], limits['rate-max']);
  return {
    playback: pick('playback', ({ playback }) => playback, BUILT_IN.playback),
    capture: pick('capture', ({ capture }) => capture, BUILT_IN.capture),
    volumeCap: toVolume(cap),
    volume: toVolume(bound('volume', volume, Math.min(volume, cap), 'volume-cap')),
    mute: pick('mute', ({ mute }) => mute, BUILT_IN.mute),
    sink: toDevice(pick('sink', ({ sink }) => sink, BUILT_IN.sink)),
    source: toDevice(pick('source', ({ source }) => source, BUILT_IN.source)),
    // A rule may give one end and the default the other: the upper one yields.
    latencyMinMs,
    latencyMaxMs: bound('latency.max-msec', latencyMaxMs, Math.max(latencyMinMs, latencyMaxMs), 'min-msec'),
    limits: {
      streams: pick('limits.streams', (said) => said.limits?.streams, limits.streams),
      bufferBytes: pick(
        'limits.buffer-bytes',
        (said) => said.limits?.['buffer-bytes'],
        limits['buffer-bytes'],
      ),
      channels: pick('limits.channels', (said) => said.limits?.channels, limits.channels),
      rateMin,
      rateMax: bound('limits.rate-max', rateMax, Math.max(rateMin, rateMax), 'rate-min'),
    },
    attach: pick('attach', ({ attach }) => attach, BUILT_IN.attach),
    reasons,
  };
};

interface Picker {
  /** What is said of a setting first, or what is built in; notes the reason. */
  readonly pick: <T>(setting: string, get: (said: PolicySettings) => T | undefined, builtIn: T) => T;
  /** What a setting becomes beside `other`; notes it when that is something else. */
  readonly bound: (setting: string, said: number, becomes: number, other: string) => number;
  readonly reasons: Readonly<Record<string, string>>;
}

const picker = (policy: PlacedPolicy, guest: GuestIdentity): Picker => {
  const position = policy.rules.findIndex(({ guests }) => guests.some((entry) => matchesGuest(entry, guest)));
  const rule = policy.rules[position];
  const layers: (readonly [string, PolicySettings])[] = [['default', policy.default]];
  if (rule !== undefined) layers.unshift([ruleName(rule, position), rule]);
  const reasons: Record<string, string> = {};
  return {
    reasons,
    pick: (setting, get, builtIn) => {
      for (const [reason, said] of layers) {
        const value = get(said);
        if (value === undefined) continue;
        reasons[setting] = reason;
        return value;
      }
      reasons[setting] = 'built-in';
      return builtIn;
    },
    bound: (setting, said, becomes, other) => {
      if (becomes !== said) reasons[setting] = `${reasons[setting] ?? ''}, bound by ${other}`;
      return becomes;
    },
  };
};

const ruleName = ({ name, place }: PlacedRule, position: number): string =>
  [
    `rule ${position + 1}`,
    ...(name === undefined ? [] : [`"${name}"`]),
    ...(place === undefined ? [] : [`(${place})`]),
  ].join(' ');

const toVolume = (percent: number): number => Math.round((percent * VOLUME_NORM) / 100);

const toDevice = (name: string): string | undefined => (name === 'default' ? undefined : name);
