// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestState, ManagerState, StreamState } from '../../api/state.js';
import { GUEST, MANAGER, ROOT, STREAM } from './interfaces.js';
import type { DBusValue } from './wire/signature.js';

/** 100 % in PulseAudio's numbers, `PA_VOLUME_NORM`. */
export const VOLUME_NORM = 65_536;

export type Properties = Readonly<Record<string, DBusValue>>;

/** An object on the bus, as it is at a moment. Each has one interface of ours. */
export interface BusObject {
  readonly interface: string;
  readonly properties: Properties;
  /** Whose object it is: the guest's, for those of its streams too. */
  readonly guestId?: string;
}

/** All objects by path, those above before those below. */
export type Objects = ReadonlyMap<string, BusObject>;

export const guestPath = (guestId: string): string => `${ROOT}/guest/${guestId}`;

/** The objects that show a state of the daemon. */
export const objectsOf = (manager: ManagerState, guests: readonly GuestState[]): Objects =>
  new Map([
    [ROOT, { interface: MANAGER, properties: managerProperties(manager) }] as const,
    ...guests.flatMap((guest): [string, BusObject][] => {
      const path = guestPath(guest.id);
      return [
        [path, { interface: GUEST, properties: guestProperties(guest), guestId: guest.id }],
        ...guest.streams.map((stream): [string, BusObject] => [
          `${path}/${stream.id}`,
          { interface: STREAM, properties: streamProperties(path, stream), guestId: guest.id },
        ]),
      ];
    }),
  ]);

const managerProperties = (state: ManagerState): Properties => ({
  Version: state.version,
  OwnDomain: state.ownDomain,
  XenstoreUp: state.xenstoreUp,
  SoundServerUp: state.soundServerUp,
  PolicyFile: state.policyFile,
  PolicyError: state.policyError,
});

const guestProperties = (state: GuestState): Properties => ({
  Uuid: state.uuid,
  Name: state.name,
  Domid: state.domid,
  State: state.state,
  PlaybackAllowed: state.playbackAllowed,
  PlaybackActive: state.playbackActive,
  CaptureRequested: state.captureRequested,
  CaptureAllowed: state.captureAllowed,
  CaptureActive: state.captureActive,
  CapturePolicy: state.capturePolicy,
  CaptureAllowedUntil: state.captureAllowedUntilUsec,
  CaptureDeadline: state.captureDeadlineUsec,
  Volume: state.volume / VOLUME_NORM,
  VolumeCap: state.volumeCap / VOLUME_NORM,
  Mute: state.mute,
  Sink: state.sink,
  Source: state.source,
  LatencyUsec: state.latencyUsec,
});

const streamProperties = (guest: string, state: StreamState): Properties => ({
  Guest: guest,
  Device: state.device,
  Direction: state.direction,
  State: state.state,
  Format: state.format,
  Rate: state.rate,
  Channels: state.channels,
  PositionFrames: state.positionFrames,
  Underruns: state.underruns,
  Overruns: state.overruns,
  LateBytes: state.lateBytes,
  LatencyUsec: state.latencyUsec,
  Level: state.level,
});

/** Names of what is right below a path; undefined when there is nothing at it or below. */
export const childrenOf = (objects: Objects, path: string): string[] | undefined => {
  const prefix = path === '/' ? '/' : `${path}/`;
  const names = new Set<string>();
  for (const other of objects.keys()) {
    if (other.startsWith(prefix)) names.add(other.slice(prefix.length).split('/', 1)[0] ?? '');
  }
  return names.size > 0 || objects.has(path) ? [...names] : undefined;
};
