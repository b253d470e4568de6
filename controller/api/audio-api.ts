// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestState, ManagerState } from './state.js';

/** Which layout of cards `attach` makes. */
export type CardLayout = 'modules' | 'kernel';

export type StreamDirection = 'playback' | 'capture';

/** Why a call was refused; the last part of the D-Bus error's name. */
export type ApiErrorCode =
  | 'AlreadyAttached'
  | 'AmbiguousGuest'
  | 'Failed'
  | 'InvalidArgument'
  | 'NoSuchDevice'
  | 'NoSuchGuest'
  | 'NoSuchSink'
  | 'NoSuchSource'
  | 'NotAuthorized'
  | 'OutOfRange'
  | 'PolicyDenied'
  | 'PolicyInvalid'
  | 'SoundServerDown'
  | 'Timeout'
  | 'XenstoreDown';

/** A refusal, with a message for people. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly code: ApiErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A setting of the policy that holds for a guest, and why. */
export interface ExplainedSetting {
  readonly setting: string;
  readonly value: string;
  readonly rule: string;
}

/** What happens on its own. */
export interface ApiEvents {
  /** Something of what `manager` or `guests` say is another than before. */
  changed(): void;
  /** A guest asks for the microphone; microseconds of CLOCK_REALTIME. */
  captureRequested(guestId: string, deadlineUsec: bigint): void;
}

/**
 * What the daemon offers to the outside, however it gets there. `guest` is a name, UUID or domid, as
 * packaging/dbus/org.xenproject.Audio1.Manager1.xml says; `guestId` is `GuestState.id`. All methods throw `ApiError`. Whoever
 * calls has been authorised before.
 */
export interface AudioApi {
  manager(): ManagerState;
  guests(): readonly GuestState[];
  /** Calls `events` until the returned function is called. */
  subscribe(events: ApiEvents): () => void;

  findGuest(guest: string): GuestState;
  /** Resolves with the cards made. */
  attach(guest: string, layout: CardLayout): Promise<number[]>;
  detach(guest: string, devid: number): Promise<void>;
  prepareSuspend(guest: string): Promise<void>;
  finishSuspend(guest: string): Promise<void>;
  reload(): Promise<void>;
  explainPolicy(guest: string): Promise<ExplainedSetting[]>;
  /** Whether anybody wants levels. */
  showLevels(wanted: boolean): Promise<void>;

  setVolume(guestId: string, volume: number): Promise<void>;
  setMute(guestId: string, mute: boolean): Promise<void>;
  setRoute(guestId: string, direction: StreamDirection, device: string): Promise<void>;
  allowCaptureOnce(guestId: string): Promise<void>;
  allowCaptureFor(guestId: string, seconds: number): Promise<void>;
  allowCaptureAlways(guestId: string): Promise<void>;
  denyCapture(guestId: string): Promise<void>;
}
