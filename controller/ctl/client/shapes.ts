// SPDX-License-Identifier: LGPL-2.1-or-later
import { Variant } from 'dbus-next';
import { z } from 'zod';
import { AUDIO } from './interfaces.js';

/** A number of 64 bits; microseconds and counts are far from where a double ends. */
const long = z.bigint().transform(Number);

/** Properties of an interface, as D-Bus carries them. */
export const Properties = z.record(
  z.string(),
  z.instanceof(Variant).transform((variant): unknown => variant.value),
);
export type Properties = z.infer<typeof Properties>;

/** Properties of an object by interface. */
export const ObjectInterfaces = z.record(z.string(), Properties);
export type ObjectInterfaces = z.infer<typeof ObjectInterfaces>;

/** Objects by path, the answer of GetManagedObjects. */
export const Objects = z.record(z.string(), ObjectInterfaces);

export const GuestShape = z
  .object({
    Uuid: z.string(),
    Name: z.string(),
    Domid: z.number(),
    State: z.string(),
    PlaybackAllowed: z.boolean(),
    PlaybackActive: z.boolean(),
    CaptureRequested: z.boolean(),
    CaptureAllowed: z.boolean(),
    CaptureActive: z.boolean(),
    CapturePolicy: z.string(),
    CaptureAllowedUntil: long,
    CaptureDeadline: long,
    Volume: z.number(),
    VolumeCap: z.number(),
    Mute: z.boolean(),
    Sink: z.string(),
    Source: z.string(),
    LatencyUsec: long,
  })
  .transform((guest) => ({
    name: guest.Name,
    uuid: guest.Uuid,
    domid: guest.Domid,
    state: guest.State,
    playbackAllowed: guest.PlaybackAllowed,
    playbackActive: guest.PlaybackActive,
    captureRequested: guest.CaptureRequested,
    captureAllowed: guest.CaptureAllowed,
    captureActive: guest.CaptureActive,
    capturePolicy: guest.CapturePolicy,
    captureAllowedUntilUsec: guest.CaptureAllowedUntil,
    captureDeadlineUsec: guest.CaptureDeadline,
    volume: guest.Volume,
    volumeCap: guest.VolumeCap,
    mute: guest.Mute,
    sink: guest.Sink,
    source: guest.Source,
    latencyUsec: guest.LatencyUsec,
  }));
export type GuestProperties = z.infer<typeof GuestShape>;

export const StreamShape = z
  .object({
    Guest: z.string(),
    Device: z.string(),
    Direction: z.enum(['playback', 'capture']),
    State: z.string(),
    Format: z.string(),
    Rate: z.number(),
    Channels: z.number(),
    PositionFrames: long,
    Underruns: long,
    Overruns: long,
    LateBytes: long,
    LatencyUsec: long,
    Level: z.number(),
  })
  .transform((stream) => ({
    guest: stream.Guest,
    device: stream.Device,
    direction: stream.Direction,
    state: stream.State,
    format: stream.Format,
    rate: stream.Rate,
    channels: stream.Channels,
    positionFrames: stream.PositionFrames,
    underruns: stream.Underruns,
    overruns: stream.Overruns,
    lateBytes: stream.LateBytes,
    latencyUsec: stream.LatencyUsec,
    level: stream.Level,
  }));
export type Stream = Omit<z.infer<typeof StreamShape>, 'guest'>;

/** A guest with its streams: what the commands show, and their JSON. */
export interface Guest extends GuestProperties {
  /** The last part of its object's path. */
  readonly id: string;
  readonly streams: readonly Stream[];
}

/**
 * The guests among the daemon's objects, by name, each with its streams, by device.
 * @throws z.ZodError when they are not what packaging/dbus describes
 */
export const guestsOf = (objects: Iterable<readonly [string, ObjectInterfaces]>): Guest[] => {
  const streams = new Map<string, Stream[]>();
  const guests: { path: string; properties: GuestProperties }[] = [];
  for (const [path, interfaces] of objects) {
    const { [AUDIO.guest]: guest, [AUDIO.stream]: stream } = interfaces;
    if (guest !== undefined) guests.push({ path, properties: GuestShape.parse(guest) });
    if (stream === undefined) continue;
    const { guest: owner, ...rest } = StreamShape.parse(stream);
    streams.set(owner, [...(streams.get(owner) ?? []), rest]);
  }
  return guests
    .map(({ path, properties }) => ({
      id: path.slice(path.lastIndexOf('/') + 1),
      ...properties,
      streams: (streams.get(path) ?? []).sort((a, b) => compare(a.device, b.device)),
    }))
    .sort((a, b) => compare(a.name, b.name) || a.domid - b.domid);
};

/** The same order everywhere, whatever the locale. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
