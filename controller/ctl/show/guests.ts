// SPDX-License-Identifier: LGPL-2.1-or-later
/** Guests as people read them. Pure. */
import { displayName } from '../../util/text.js';
import type { Guest, GuestProperties, Stream } from '../client/shapes.js';
import type { Style } from './style.js';
import { displayWidth, padded, table } from './text.js';

const NONE = '-';

export const percent = (volume: number): string => `${Math.round(volume * 100)} %`;

export const volumeText = ({ volume, mute }: Pick<GuestProperties, 'volume' | 'mute'>): string =>
  mute ? 'muted' : percent(volume);

/** Microseconds as milliseconds; a latency of 0 is none. */
export const latencyText = (usec: number): string =>
  usec === 0 ? NONE : `${(usec / 1000).toFixed(usec < 10_000 ? 1 : 0)} ms`;

export const playbackText = ({ playbackAllowed, playbackActive }: GuestProperties): string =>
  playbackAllowed ? (playbackActive ? 'playing' : 'idle') : 'denied';

/** What there is to know of a guest's microphone, in a word: the most urgent of it. */
export const microphoneText = (guest: GuestProperties): string => {
  if (guest.captureActive) return 'recording';
  if (guest.captureAllowed) return 'allowed';
  if (guest.captureRequested && guest.capturePolicy === 'ask') return 'asks';
  return guest.capturePolicy === 'ask' ? 'on request' : 'denied';
};

/** A guest as a table names it. */
export const nameText = ({ name, domid }: Pick<GuestProperties, 'name' | 'domid'>): string =>
  name === '' ? `domain ${domid}` : displayName(name);

/** Lines of `list`. */
export const guestTable = (guests: readonly Guest[], style: Style): string[] => {
  if (guests.length === 0) return ['No guest has a sound card.'];
  const [titles = '', ...rows] = table(
    [
      { title: 'GUEST' },
      { title: 'DOMAIN', side: 'right' },
      { title: 'STATE' },
      { title: 'PLAYBACK' },
      { title: 'VOLUME', side: 'right' },
      { title: 'LATENCY', side: 'right' },
      { title: 'MICROPHONE' },
    ],
    guests.map((guest) => [
      nameText(guest),
      String(guest.domid),
      displayName(guest.state),
      playbackText(guest),
      volumeText(guest),
      latencyText(guest.latencyUsec),
      microphoneText(guest),
    ]),
  );
  return [style.title(titles), ...rows];
};

/** Lines of `show`. @param nowMs since the epoch */
export const guestDetails = (guest: Guest, nowMs: number, style: Style): string[] => {
  const facts: readonly (readonly [string, string])[] = [
    ['Guest', nameText(guest)],
    ['UUID', guest.uuid === '' ? NONE : displayName(guest.uuid)],
    ['Domain', String(guest.domid)],
    ['State', displayName(guest.state)],
    ['Playback', playbackText(guest)],
    [
      'Volume',
      `${percent(guest.volume)}${guest.mute ? ', muted' : ''} (at most ${percent(guest.volumeCap)})`,
    ],
    ['Sink', guest.sink === '' ? NONE : displayName(guest.sink)],
    ['Latency', latencyText(guest.latencyUsec)],
    [
      'Microphone',
      `${microphoneText(guest)}${leaveText(guest, nowMs)} (policy: ${displayName(guest.capturePolicy)})`,
    ],
    ['Source', guest.source === '' ? NONE : displayName(guest.source)],
  ];
  const width = Math.max(...facts.map(([name]) => displayWidth(name)));
  const lines = facts.map(([name, value]) => `${style.title(padded(name, width))}  ${value}`);
  return [...lines, '', ...streamTable(guest.streams, style)];
};

const leaveText = ({ captureAllowed, captureAllowedUntilUsec: until }: Guest, nowMs: number): string => {
  if (!captureAllowed || until === 0) return '';
  return `, for ${spanText(Math.max(0, Math.round(until / 1_000_000 - nowMs / 1000)))} more`;
};

/** `1 h 5 min`, `12 min`, `40 s`. */
const spanText = (seconds: number): string => {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

const streamTable = (streams: readonly Stream[], style: Style): string[] => {
  if (streams.length === 0) return ['No stream is connected.'];
  const [titles = '', ...rows] = table(
    [
      { title: 'STREAM' },
      { title: 'DIRECTION' },
      { title: 'STATE' },
      { title: 'FORMAT' },
      { title: 'LATENCY', side: 'right' },
      { title: 'UNDERRUNS', side: 'right' },
      { title: 'OVERRUNS', side: 'right' },
    ],
    streams.map((stream) => [
      displayName(stream.device),
      stream.direction,
      displayName(stream.state),
      stream.format === '' ? NONE : `${displayName(stream.format)}, ${stream.rate} Hz, ${stream.channels} ch`,
      latencyText(stream.latencyUsec),
      stream.direction === 'playback' ? String(stream.underruns) : NONE,
      stream.direction === 'capture' ? String(stream.overruns) : NONE,
    ]),
  );
  return [style.title(titles), ...rows];
};
