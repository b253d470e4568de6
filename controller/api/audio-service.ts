// SPDX-License-Identifier: LGPL-2.1-or-later
import { VOLUME_MAX } from '../../schemas/guest-record.js';
import type { ClockPort, LogPort, PulsePort } from '../device/ports.js';
import type { Guest } from '../guest/guest.js';
import type { Guests } from '../guest/guests.js';
import { explainPolicy } from '../policy/explain.js';
import { hasCode, messageOf } from '../util/errors.js';
import { quoted } from '../util/text.js';
import {
  ApiError,
  type ApiEvents,
  type AudioApi,
  type CardLayout,
  type ExplainedSetting,
  type StreamDirection,
} from './audio-api.js';
import { findGuest } from './find-guest.js';
import type { GuestState, ManagerState } from './state.js';

/** The cards of all guests. */
export interface CardsPort {
  /** What holds for a domain's cards has changed. */
  lookAt(domid: number): void;
  /** Whether no card of a domain is connected. */
  isDisconnected(domid: number): boolean;
  /** Whether the domain has closed as well what it had open for its cards. */
  hasGuestLetGo(domid: number): boolean;
}

/** What a toolstack does for running domains; throws ApiError. */
export interface ToolstackPort {
  /** The running domain of a name, UUID or domid. */
  findDomain(text: string): Promise<number>;
  attach(domid: number, layout: CardLayout): Promise<number[]>;
  detach(domid: number, devid: number): Promise<void>;
}

/** What there is while xenstore answers. */
export interface Session {
  readonly guests: Guests;
  readonly cards: CardsPort;
  readonly toolstack: ToolstackPort;
}

/** What the service speaks for. */
export interface AudioServiceContext {
  readonly session: () => Session | undefined;
  readonly pulse: PulsePort;
  readonly clock: ClockPort;
  readonly log: LogPort;
  readonly manager: () => ManagerState;
  /** Reads settings and policy again. Throws XenAudioError `config`. */
  readonly reload: () => Promise<void>;
}

const TOPIC = 'suspend';
/** Longest time for a guest's cards to be let go. */
const DISCONNECT_TIMEOUT_MS = 10_000;
/** Longest time for the guest to close what it had open; it does so within milliseconds. */
const LET_GO_TIMEOUT_MS = 5_000;
/** A suspend that nobody ends is over then. */
const SUSPEND_TIMEOUT_MS = 300_000;

/** A guest that somebody is suspending, or has. */
interface Suspend {
  readonly domid: number;
  /** Ends what ends it when nobody does. */
  readonly cancel: () => void;
}

/** The daemon's offer to the outside, over what it has inside. */
export class AudioService implements AudioApi, ApiEvents {
  /** By guest. */
  readonly #suspends = new Map<string, Suspend>();

  readonly #listeners = new Set<ApiEvents>();
  #levels = false;

  constructor(private readonly context: AudioServiceContext) {}

  /** The domain of a guest that is being suspended. */
  suspendedDomidOf(guestId: string): number | undefined {
    return this.#suspends.get(guestId)?.domid;
  }

  /** Whether anybody wants levels. */
  get levels(): boolean {
    return this.#levels;
  }

  manager(): ManagerState {
    return this.context.manager();
  }

  guests(): readonly GuestState[] {
    return this.context.session()?.guests.all.map((guest) => guest.state()) ?? [];
  }

  subscribe(events: ApiEvents): () => void {
    this.#listeners.add(events);
    return () => {
      this.#listeners.delete(events);
    };
  }

  changed(): void {
    for (const listener of this.#listeners) listener.changed();
  }

  captureRequested(guestId: string, deadlineUsec: bigint): void {
    for (const listener of this.#listeners) listener.captureRequested(guestId, deadlineUsec);
  }

  findGuest(guest: string): GuestState {
    return findGuest(this.guests(), guest);
  }

  async attach(guest: string, layout: CardLayout): Promise<number[]> {
    const { toolstack } = this.#session();
    return await toolstack.attach(await toolstack.findDomain(guest), layout);
  }

  async detach(guest: string, devid: number): Promise<void> {
    const { toolstack } = this.#session();
    await toolstack.detach(await toolstack.findDomain(guest), devid);
  }

  async prepareSuspend(text: string): Promise<void> {
    const { id, domid, name } = this.findGuest(text);
    const { guests, cards } = this.#session();
    const { clock } = this.context;
    const before = this.#suspends.get(id);
    const isRenewal = before?.domid === domid;
    before?.cancel();
    const cancel = clock.after(SUSPEND_TIMEOUT_MS, () => {
      this.#endSuspend(id, suspend);
    });
    const suspend: Suspend = { domid, cancel };
    this.#suspends.set(id, suspend);
    this.#setSuspended(id, domid, true);
    if (await guests.until(() => cards.isDisconnected(domid), DISCONNECT_TIMEOUT_MS)) {
      // Who suspends a guest before it has closed its event channels risks that guest's sound and no more, so that a
      // guest cannot keep itself from being suspended.
      if (await guests.until(() => cards.hasGuestLetGo(domid), LET_GO_TIMEOUT_MS)) return;
      if (isRenewal) return; // it has been said
      this.context.log.warning(
        TOPIC,
        () =>
          `${name}: suspended with event channels open, which it has not closed within ${LET_GO_TIMEOUT_MS / 1000} s: ` +
          'its sound server may hang when it ends after the resume. Is it paused, or out of processor time?',
        { guest: name },
      );
      return;
    }
    this.#endSuspend(id, suspend);
    throw new ApiError(
      'Timeout',
      `${name}: not all of its cards let go within ${DISCONNECT_TIMEOUT_MS / 1000} s, so they stay connected: ` +
        'does the sound server answer? The log of xen-audiod says which card',
    );
  }

  finishSuspend(text: string): Promise<void> {
    const { id, domid } = this.findGuest(text);
    const suspend = this.#suspends.get(id);
    if (suspend === undefined) this.#setSuspended(id, domid, false);
    else this.#endSuspend(id, suspend);
    return Promise.resolve();
  }

  async reload(): Promise<void> {
    try {
      await this.context.reload();
    } catch (error) {
      if (hasCode(error, 'config')) throw new ApiError('PolicyInvalid', error.message, { cause: error });
      throw failed(error);
    }
  }

  explainPolicy(text: string): Promise<ExplainedSetting[]> {
    return Promise.resolve(explainPolicy(this.#guest(this.findGuest(text).id).policy));
  }

  async showLevels(wanted: boolean): Promise<void> {
    this.#levels = wanted;
    const session = this.context.session();
    if (session !== undefined) await this.#said(session.guests.showLevels(wanted));
  }

  async setVolume(guestId: string, volume: number): Promise<void> {
    const guest = this.#guest(guestId);
    const { volumeCap } = guest.policy;
    if (!Number.isInteger(volume) || volume < 0 || volume > Math.min(volumeCap, VOLUME_MAX)) {
      throw new ApiError(
        'OutOfRange',
        `${guest.identity.name}: a volume of ${percent(volume)}, expected 0 % to ${percent(volumeCap)}, its cap`,
      );
    }
    await this.#said(guest.setVolume(volume));
  }

  async setMute(guestId: string, mute: boolean): Promise<void> {
    await this.#said(this.#guest(guestId).setMute(mute));
  }

  async setRoute(guestId: string, direction: StreamDirection, device: string): Promise<void> {
    const guest = this.#guest(guestId);
    if (device !== '') await this.#checkDevice(direction, device);
    await this.#said(guest.setRoute(direction, device));
  }

  async allowCaptureOnce(guestId: string): Promise<void> {
    await this.#said(this.#guest(guestId).allowCapture('once'));
  }

  async allowCaptureFor(guestId: string, seconds: number): Promise<void> {
    const untilMs = Math.round(this.context.clock.wallMs() + seconds * 1000);
    await this.#said(this.#guest(guestId).allowCapture({ untilMs }));
  }

  async allowCaptureAlways(guestId: string): Promise<void> {
    await this.#said(this.#guest(guestId).allowCapture('always'));
  }

  async denyCapture(guestId: string): Promise<void> {
    await this.#said(this.#guest(guestId).denyCapture());
  }

  /** No timer of its runs afterwards. */
  stop(): Promise<void> {
    for (const { cancel } of this.#suspends.values()) cancel();
    this.#suspends.clear();
    return Promise.resolve();
  }

  /** Unless another has been prepared since. */
  #endSuspend(id: string, suspend: Suspend): void {
    if (this.#suspends.get(id) !== suspend) return;
    suspend.cancel();
    this.#suspends.delete(id);
    this.#setSuspended(id, suspend.domid, false);
  }

  #setSuspended(id: string, domid: number, suspended: boolean): void {
    const session = this.context.session();
    session?.guests.byId(id)?.setSuspended(suspended);
    session?.cards.lookAt(domid);
  }

  #session(): Session {
    const session = this.context.session();
    if (session !== undefined) return session;
    throw new ApiError(
      'XenstoreDown',
      'xenstore does not answer: is xenstored running? "systemctl status xenstored" says',
    );
  }

  #guest(id: string): Guest {
    const guest = this.#session().guests.byId(id);
    if (guest === undefined) throw new ApiError('NoSuchGuest', `${quoted(id)}: it has gone`);
    return guest;
  }

  async #checkDevice(direction: StreamDirection, device: string): Promise<void> {
    const { pulse } = this.context;
    const [code, what] =
      direction === 'playback' ? (['NoSuchSink', 'sink'] as const) : (['NoSuchSource', 'source'] as const);
    const names = await this.#said(direction === 'playback' ? pulse.sinks() : pulse.sources());
    if (names.includes(device)) return;
    throw new ApiError(
      code,
      `${quoted(device)}: the sound server has no such ${what}; it has ${names.join(', ')}`,
    );
  }

  /** Errors of the inside, as the outside knows them. */
  async #said<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw failed(error);
    }
  }
}

const failed = (error: unknown): ApiError => {
  if (error instanceof ApiError) return error;
  if (hasCode(error, 'xenstore-lost', 'xenstore-denied', 'xenstore'))
    return new ApiError('XenstoreDown', messageOf(error), { cause: error });
  if (hasCode(error, 'pulse-down'))
    return new ApiError('SoundServerDown', messageOf(error), { cause: error });
  if (hasCode(error, 'timeout')) return new ApiError('Timeout', messageOf(error), { cause: error });
  return new ApiError('Failed', messageOf(error), { cause: error });
};

const percent = (volume: number): string => `${((volume * 100) / 65_536).toFixed(0)} %`;
