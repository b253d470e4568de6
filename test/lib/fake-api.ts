// SPDX-License-Identifier: LGPL-2.1-or-later
import {
  ApiError,
  type ApiEvents,
  type AudioApi,
  type CardLayout,
  type ExplainedSetting,
  type StreamDirection,
} from '../../controller/api/audio-api.js';
import type { GuestState, ManagerState, StreamState } from '../../controller/api/state.js';

export const aManager = (differing: Partial<ManagerState> = {}): ManagerState => ({
  version: '1.2.3',
  ownDomain: 0,
  xenstoreUp: true,
  soundServerUp: true,
  policyFile: '/etc/xen-audio/policy.yaml',
  policyError: '',
  ...differing,
});

/** A connected guest without streams; `uuid`, `name` and `domid` follow from its number unless told. */
export const aGuest = (number: number, differing: Partial<GuestState> = {}): GuestState => {
  const uuid = `0000000${number}-1111-2222-3333-444444444444`;
  return {
    id: `u${uuid.replaceAll('-', '_')}`,
    uuid,
    name: `guest${number}`,
    domid: number,
    state: 'connected',
    playbackAllowed: true,
    playbackActive: false,
    captureRequested: false,
    captureAllowed: false,
    captureActive: false,
    capturePolicy: 'ask',
    captureAllowedUntilUsec: 0n,
    captureDeadlineUsec: 0n,
    volume: 65_536,
    volumeCap: 65_536,
    mute: false,
    sink: '',
    source: '',
    latencyUsec: 0n,
    streams: [],
    ...differing,
  };
};

export const aStream = (differing: Partial<StreamState> = {}): StreamState => ({
  id: 's0_0_0',
  device: 'vsnd-0/0/0',
  direction: 'playback',
  state: 'playing',
  format: 's16_le',
  rate: 48_000,
  channels: 2,
  positionFrames: 123_456_789_012n,
  underruns: 1n,
  overruns: 0n,
  lateBytes: 2n,
  latencyUsec: 20_000n,
  level: 0.5,
  ...differing,
});

/**
 * An API of its own words: it keeps what it was asked, answers with what the test put there, and changes nothing else than volume
 * and mute.
 */
export class FakeApi implements AudioApi {
  managerState = aManager();
  guestStates: GuestState[] = [];
  /** What was called, as `setVolume(["id",1])`. */
  readonly calls: string[] = [];
  /** Makes calls wait, or fail: asked for each with the method's name. */
  hold: (method: string) => Promise<void> = () => Promise.resolve();
  readonly #listeners = new Set<ApiEvents>();

  get listeners(): number {
    return this.#listeners.size;
  }

  manager(): ManagerState {
    return this.managerState;
  }

  guests(): readonly GuestState[] {
    return this.guestStates;
  }

  subscribe(events: ApiEvents): () => void {
    this.#listeners.add(events);
    return () => this.#listeners.delete(events);
  }

  /** Says that something has changed. */
  changed(): void {
    for (const listener of this.#listeners) listener.changed();
  }

  requestCapture(guestId: string, deadlineUsec: bigint): void {
    for (const listener of this.#listeners) listener.captureRequested(guestId, deadlineUsec);
  }

  /** Changes a guest, and says so. */
  change(guestId: string, differing: Partial<GuestState>): void {
    this.guestStates = this.guestStates.map((guest) =>
      guest.id === guestId ? { ...guest, ...differing } : guest,
    );
    this.changed();
  }

  findGuest(guest: string): GuestState {
    const found = this.guestStates.filter(
      ({ name, uuid, domid }) => name === guest || uuid === guest || String(domid) === guest,
    );
    const [first, ...more] = found;
    if (first === undefined) throw new ApiError('NoSuchGuest', `no guest is called ${guest}`);
    if (more.length > 0) throw new ApiError('AmbiguousGuest', `${found.length} guests are called ${guest}`);
    return first;
  }

  async attach(guest: string, layout: CardLayout): Promise<number[]> {
    await this.#did('attach', guest, layout);
    return layout === 'modules' ? [0, 1] : [0];
  }

  detach(guest: string, devid: number): Promise<void> {
    return this.#did('detach', guest, devid);
  }

  prepareSuspend(guest: string): Promise<void> {
    return this.#did('prepareSuspend', guest);
  }

  finishSuspend(guest: string): Promise<void> {
    return this.#did('finishSuspend', guest);
  }

  reload(): Promise<void> {
    return this.#did('reload');
  }

  async explainPolicy(guest: string): Promise<ExplainedSetting[]> {
    await this.#did('explainPolicy', guest);
    return [{ setting: 'capture', value: 'ask', rule: 'rule 2' }];
  }

  showLevels(wanted: boolean): Promise<void> {
    return this.#did('showLevels', wanted);
  }

  async setVolume(guestId: string, volume: number): Promise<void> {
    await this.#did('setVolume', guestId, volume);
    this.change(guestId, { volume });
  }

  async setMute(guestId: string, mute: boolean): Promise<void> {
    await this.#did('setMute', guestId, mute);
    this.change(guestId, { mute });
  }

  setRoute(guestId: string, direction: StreamDirection, device: string): Promise<void> {
    return this.#did('setRoute', guestId, direction, device);
  }

  allowCaptureOnce(guestId: string): Promise<void> {
    return this.#did('allowCaptureOnce', guestId);
  }

  allowCaptureFor(guestId: string, seconds: number): Promise<void> {
    return this.#did('allowCaptureFor', guestId, seconds);
  }

  allowCaptureAlways(guestId: string): Promise<void> {
    return this.#did('allowCaptureAlways', guestId);
  }

  denyCapture(guestId: string): Promise<void> {
    return this.#did('denyCapture', guestId);
  }

  async #did(method: string, ...values: readonly (string | number | boolean)[]): Promise<void> {
    this.calls.push(`${method}(${JSON.stringify(values)})`);
    await this.hold(method);
  }
}
