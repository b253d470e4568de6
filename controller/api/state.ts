// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * What the daemon says of itself to the outside: pictures of a moment, whose members are the properties of
 * packaging/dbus/*.xml, where they are described.
 */

export interface ManagerState {
  readonly version: string;
  readonly ownDomain: number;
  readonly xenstoreUp: boolean;
  readonly soundServerUp: boolean;
  readonly policyFile: string;
  readonly policyError: string;
}

export interface GuestState {
  /** Never changes for one guest, and no other has it: the last part of its object's path. */
  readonly id: string;
  readonly uuid: string;
  readonly name: string;
  readonly domid: number;
  readonly state: 'connecting' | 'connected' | 'suspended' | 'refused';
  readonly playbackAllowed: boolean;
  readonly playbackActive: boolean;
  readonly captureRequested: boolean;
  readonly captureAllowed: boolean;
  readonly captureActive: boolean;
  readonly capturePolicy: 'allow' | 'deny' | 'ask';
  /** Microseconds of CLOCK_REALTIME. */
  readonly captureAllowedUntilUsec: bigint;
  /** Microseconds of CLOCK_REALTIME; 0: no request waits for an answer. */
  readonly captureDeadlineUsec: bigint;
  /** 65536 is 100 %, as everywhere in PulseAudio (`pa_volume_t`). */
  readonly volume: number;
  readonly volumeCap: number;
  readonly mute: boolean;
  readonly sink: string;
  readonly source: string;
  readonly latencyUsec: bigint;
  readonly streams: readonly StreamState[];
}

export interface StreamState {
  /** Unique among the streams of its guest: the last part of its object's path. */
  readonly id: string;
  readonly device: string;
  readonly direction: 'playback' | 'capture';
  readonly state: string;
  readonly format: string;
  readonly rate: number;
  readonly channels: number;
  readonly positionFrames: bigint;
  readonly underruns: bigint;
  readonly overruns: bigint;
  readonly lateBytes: bigint;
  readonly latencyUsec: bigint;
  /** 0 to 1. */
  readonly level: number;
}
