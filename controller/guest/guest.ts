// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CaptureLeave, GuestRecord } from '../../schemas/guest-record.js';
import { ApiError, type StreamDirection } from '../api/audio-api.js';
import type { GuestState } from '../api/state.js';
import type { GuestPolicy } from '../policy/evaluate.js';
import { hasCode, messageOf } from '../util/errors.js';
import { RateLimit } from '../util/retry.js';
import type { DeviceId, StreamId } from '../xenbus/paths.js';
import { nextRequest, type Stamped } from './agreement.js';
import type { Guest as GuestIdentity } from './identity.js';
import { Arrivals } from './arrivals.js';
import { GuestCards, type CardState } from './guest-cards.js';
import { Microphone } from './microphone.js';
import { Mixer, type Orders } from './mixer.js';
import { formatRequest, parseRequest, type StreamReport } from './stream-report.js';
import { StreamControl, type StreamControlContext } from './stream-control.js';
import { streamState } from './stream-state.js';

/** What a guest needs of the daemon around it. */
export interface GuestContext extends StreamControlContext {
  /** Something that `state` says is another than before. */
  onChange(): void;
  /** It asks for the microphone, and somebody is to answer; microseconds of CLOCK_REALTIME. */
  onCaptureAsked(guest: Guest, deadlineUsec: bigint): void;
  /** What is to be kept of it is another than before. */
  onRecord(guest: Guest, record: GuestRecord): void;
  /** The policy in force, for a guest. */
  policyOf(identity: GuestIdentity): GuestPolicy;
}

/** A connected stream of a guest. */
interface GuestStream {
  readonly key: string;
  readonly id: StreamId;
  readonly direction: StreamDirection;
  readonly control: StreamControl;
  /** What was said last of where it shall play or record. */
  route: Stamped<string> | undefined;
}

const TOPIC = 'guest';
/** A module takes leave away within a few milliseconds. */
const REVOKE_TIMEOUT_MS = 2_000;
/** All running streams of a guest are adopted in much less. */
const ADOPTION_MS = 1_000;
/** After xenstore has not taken what holds. */
const RETRY_MS = 1_000;
const LINES_BURST = 10;
const LINES_PER_SECOND = 0.5;

/**
 * A guest with its cards and connected streams: what it may do, how loud it is, where it plays. Decides nothing by itself: policy,
 * what was said by hand and what the modules report go in; nodes of the streams' control directories come out.
 */
export class Guest {
  readonly #cards: GuestCards;
  readonly #streams = new Map<string, GuestStream>();
  readonly #mixer: Mixer;
  readonly #microphone: Microphone;
  readonly #reports = new Arrivals();
  readonly #lines = new RateLimit(LINES_BURST, LINES_PER_SECOND);
  #unsaid = 0;
  #identity: GuestIdentity;
  #policy: GuestPolicy;
  #record: GuestRecord;
  #cancelAdoption: () => void = () => undefined;
  #cancelRetry: () => void = () => undefined;
  #levels: boolean;
  #saidAllowed: boolean | undefined;

  constructor(
    private readonly context: GuestContext,
    /** See `GuestState.id`. */
    readonly id: string,
    identity: GuestIdentity,
    record: GuestRecord,
    levels: boolean,
    suspendedDomid: number | undefined,
  ) {
    this.#cards = new GuestCards(suspendedDomid);
    const policy = context.policyOf(identity);
    this.#levels = levels;
    this.#identity = identity;
    this.#policy = policy;
    this.#record = record;
    this.#mixer = new Mixer(
      Math.min(record.volume ?? policy.volume, policy.volumeCap),
      record.mute ?? policy.mute,
    );
    const events = {
      onLeave: (leave: CaptureLeave | undefined) => {
        this.#keep({ capture: leave });
      },
      onTime: () => {
        this.#run(this.#apply());
      },
      onAsk: (deadlineUsec: bigint) => {
        context.onCaptureAsked(this, deadlineUsec);
      },
    };
    this.#microphone = new Microphone(context.clock, events, policy.capture, record.capture);
  }

  get identity(): GuestIdentity {
    return this.#identity;
  }

  get policy(): GuestPolicy {
    return this.#policy;
  }

  get isGone(): boolean {
    return this.#cards.isEmpty;
  }

  // ---- cards ----

  /** A card of the guest is there, and how it is connected. */
  card(id: DeviceId, identity: GuestIdentity, state: CardState): void {
    const change = this.#cards.set(id, state);
    if (change === 'same') return;
    if (change === 'new') this.#identify(identity);
    this.context.onChange();
  }

  cardGone(id: DeviceId): void {
    if (this.#cards.delete(id)) this.context.onChange();
    if (!this.isGone) return;
    this.#cancelAdoption();
    this.#cancelRetry();
    this.#microphone.stop();
  }

  #identify(identity: GuestIdentity): void {
    const isRenamed = identity.xenName !== this.#identity.xenName;
    this.#identity = identity;
    if (isRenamed) this.#run(this.changePolicy(this.context.policyOf(identity)));
  }

  // ---- suspend ----

  /** Whether the cards of a domain shall stay disconnected. */
  isSuspended(domid: number): boolean {
    return this.#cards.holds(domid);
  }

  setSuspended(suspended: boolean): void {
    this.#cards.setSuspended(suspended);
    this.context.onChange();
  }

  // ---- streams ----

  /**
   * A stream is being connected, or adopted as it runs: resolves when its control directory says what it may. To be ended also
   * when this fails.
   */
  async beginStream(id: StreamId, direction: StreamDirection, path: string): Promise<void> {
    const key = streamKey(id);
    const label = `${this.#identity.name}/${id.devid}: stream ${id.pcm}/${id.stream}`;
    const control = new StreamControl(this.context, path, label, (before) => {
      this.#heard(stream, before);
    });
    const stream: GuestStream = { key, id, direction, control, route: undefined };
    this.#streams.set(key, stream);
    await this.#beginRequests(stream);
    await this.#tell(stream);
    this.#sayConsent(true);
    this.#microphone.watchLeave();
    if (direction === 'capture') this.#adoptRequest(stream);
    await control.listen();
    this.context.onChange();
  }

  /** Its module is gone. `kept`: it is not, but we are about to end. To be called again when this fails. */
  async endStream(id: StreamId, kept: boolean): Promise<void> {
    const stream = this.#streams.get(streamKey(id));
    if (stream === undefined) return;
    await stream.control.end();
    this.#streams.delete(stream.key);
    this.#mixer.end(stream.key);
    if (!kept) this.#requestMayHaveEnded(stream.control.report.requested === true);
    this.context.onChange();
  }

  // ---- policy and what is said by hand ----

  /** Puts another policy in force. */
  async changePolicy(policy: GuestPolicy): Promise<void> {
    this.#policy = policy;
    this.#microphone.changePolicy(policy.capture);
    await this.#apply();
  }

  /** @param volume not above the cap */
  async setVolume(volume: number): Promise<void> {
    this.#keep({ volume });
    await this.#order(this.#mixer.setVolume(volume));
  }

  async setMute(mute: boolean): Promise<void> {
    this.#keep({ mute });
    await this.#order(this.#mixer.setMute(mute));
  }

  /** @param device empty: what policy says */
  async setRoute(direction: StreamDirection, device: string): Promise<void> {
    const name = device === '' ? undefined : device;
    this.#keep(direction === 'playback' ? { sink: name } : { source: name });
    await Promise.all(this.#of(direction).map((stream) => this.#route(stream)));
  }

  /** @throws ApiError PolicyDenied */
  async allowCapture(leave: Exclude<CaptureLeave, 'never' | 'once-begun'>): Promise<void> {
    if (this.#policy.capture === 'deny') {
      throw new ApiError(
        'PolicyDenied',
        `policy says "capture: deny" for ${this.#identity.name}: to decide it by hand, say "capture: ask" there`,
      );
    }
    this.#microphone.allow(leave);
    if (this.#any('capture', ({ requested }) => requested === true)) this.#microphone.requested();
    await this.#apply();
  }

  /** Resolves when no sample reaches the guest any more. @throws ApiError Timeout */
  async denyCapture(): Promise<void> {
    this.#microphone.deny();
    await this.#apply();
    const stopped = await this.#reports.until(
      () => !this.#any('capture', ({ active }) => active === true),
      this.context.clock,
      REVOKE_TIMEOUT_MS,
    );
    if (!stopped) {
      throw new ApiError(
        'Timeout',
        `${this.#identity.name}: leave is taken, but its module did not say within ${REVOKE_TIMEOUT_MS} ms that it ` +
          'has stopped: is PulseAudio stuck? "pactl list source-outputs" shows what still records',
      );
    }
  }

  /** Whether the modules shall measure levels. */
  async showLevels(wanted: boolean): Promise<void> {
    this.#levels = wanted;
    await this.#apply();
  }

  // ---- what is ----

  state(): GuestState {
    const streams = [...this.#streams.values()];
    const latencies = this.#of('playback').map(({ control }) => control.report['latency-usec'] ?? 0n);
    return {
      id: this.id,
      uuid: this.#identity.uuid,
      name: this.#identity.name,
      domid: this.#cards.domid,
      state: this.#cards.state,
      playbackAllowed: this.#policy.playback === 'allow',
      playbackActive: this.#any('playback', ({ state }) => state === 'playing'),
      captureRequested: this.#any('capture', ({ requested }) => requested === true),
      captureAllowed: this.#microphone.decision.allowed,
      captureActive: this.#any('capture', ({ active }) => active === true),
      capturePolicy: this.#microphone.says,
      captureAllowedUntilUsec: this.#microphone.allowedUntilUsec,
      captureDeadlineUsec: this.#microphone.deadlineUsec,
      volume: this.#mixer.volume,
      volumeCap: this.#policy.volumeCap,
      mute: this.#mixer.mute,
      sink: this.#deviceOf('playback'),
      source: this.#deviceOf('capture'),
      latencyUsec: latencies.reduce((most, latency) => (latency > most ? latency : most), 0n),
      streams: streams.map(({ id, direction, control }) => streamState(id, direction, control.report)),
    };
  }

  #deviceOf(direction: StreamDirection): string {
    return (
      this.#of(direction)
        .map(({ control }) => control.report.device?.value ?? '')
        .find((name) => name !== '') ?? ''
    );
  }

  #of(direction: StreamDirection): GuestStream[] {
    return [...this.#streams.values()].filter((stream) => stream.direction === direction);
  }

  #any(direction: StreamDirection, test: (report: StreamReport) => boolean): boolean {
    return this.#of(direction).some((stream) => test(stream.control.report));
  }

  // ---- telling the modules ----

  /** Puts what holds now into the control directories; what xenstore does not take is tried again, whoever is told of it. */
  async #apply(): Promise<void> {
    this.#sayConsent(false);
    this.#cancelRetry();
    try {
      await Promise.all([...this.#streams.values()].map((stream) => this.#tell(stream)));
      const { volumeCap } = this.#policy;
      if (this.#mixer.volume > volumeCap) await this.#order(this.#mixer.setVolume(volumeCap));
    } catch (error) {
      if (!this.isGone && !hasCode(error, 'xenstore-lost')) this.#applyLater();
      throw error;
    }
    this.context.onChange();
  }

  #applyLater(): void {
    this.#cancelRetry();
    this.#cancelRetry = this.context.clock.after(RETRY_MS, () => {
      this.#run(this.#apply());
    });
  }

  async #tell(stream: GuestStream): Promise<void> {
    if (stream.direction === 'capture') {
      await stream.control.tell({ capture: this.#microphone.decision.allowed ? '1' : '0' });
    } else {
      await stream.control.tell({
        playback: this.#policy.playback === 'allow' ? '1' : '0',
        'volume-cap': String(this.#policy.volumeCap),
      });
    }
    const { latencyMinMs, latencyMaxMs } = this.#policy;
    await stream.control.tell({
      levels: this.#levels ? '1' : '0',
      'latency-range': `${latencyMinMs * 1000} ${latencyMaxMs * 1000}`,
    });
    await this.#route(stream);
  }

  /** Volume and mute are said once; a stream that is adopted has its own, and its report. */
  async #beginRequests(stream: GuestStream): Promise<void> {
    const { control, key, direction } = stream;
    const standing = await control.adopt(['device-set', 'volume-set', 'mute-set']);
    stream.route = parseRequest.device(standing['device-set']);
    if (direction === 'capture') return;
    const { volume, mute } = this.#mixer;
    const requests = { volume: standing['volume-set'], mute: standing['mute-set'] };
    await control.tell(this.#mixer.begin(key, requests, control.report));
    if (volume !== this.#mixer.volume || mute !== this.#mixer.mute) this.#keepMixer();
  }

  async #route(stream: GuestStream): Promise<void> {
    const wanted =
      stream.direction === 'playback'
        ? (this.#record.sink ?? this.#policy.sink ?? '')
        : (this.#record.source ?? this.#policy.source ?? '');
    if (stream.route?.value === wanted) return;
    stream.route = nextRequest(stream.route?.serial ?? 0, wanted);
    await stream.control.tell({ 'device-set': formatRequest.device(stream.route) });
  }

  async #order(orders: Orders): Promise<void> {
    const told = [...orders].map(async ([key, nodes]) => {
      await this.#streams.get(key)?.control.tell(nodes);
    });
    await Promise.all(told);
    this.context.onChange();
  }

  // ---- hearing the modules ----

  #heard(stream: GuestStream, before: StreamReport): void {
    const after = stream.control.report;
    this.#reports.notify();
    const orders = stream.direction === 'playback' ? this.#mixer.heard(stream.key, after) : undefined;
    if (orders !== undefined) {
      this.#keepMixer(); // somebody has moved a slider: the other streams of the guest go along
      this.#run(this.#order(orders));
    }
    if (stream.direction === 'capture' && before.requested !== after.requested) {
      if (after.requested === true) this.#requested(stream);
      else this.#requestMayHaveEnded(before.requested === true);
    }
    if (before.active !== after.active && after.active === true) this.#info(stream, 'records');
    this.context.onChange();
  }

  /** What has changed while no controller ran: a stream that is new says nothing of requests. */
  #adoptRequest(stream: GuestStream): void {
    const { requested } = stream.control.report;
    if (requested === true) this.#requested(stream);
    if (requested !== false) return;
    this.#cancelAdoption();
    this.#cancelAdoption = this.context.clock.after(ADOPTION_MS, () => {
      this.#requestMayHaveEnded(true);
    });
  }

  #requested(stream: GuestStream): void {
    const asks = this.#microphone.requested();
    if (this.#microphone.decision.allowed) return;
    this.#info(stream, `asks to record and hears silence${asks ? ' until it is allowed' : ''}`);
  }

  #requestMayHaveEnded(was: boolean): void {
    if (!was || this.#any('capture', ({ requested }) => requested === true)) return;
    if (this.#cards.isSuspended) return; // it is interrupted, and goes on under the same leave
    if (this.#microphone.released()) this.#run(this.#apply());
  }

  // ---- the record ----

  #keepMixer(): void {
    this.#keep({ volume: this.#mixer.volume, mute: this.#mixer.mute });
  }

  #keep(change: Partial<GuestRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.context.onRecord(this, this.#record);
  }

  // ---- errors and messages ----

  /** What nobody awaits: a failure is xenstore's, and said. */
  #run(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!hasCode(error, 'xenstore-lost')) {
        this.context.log.warning(TOPIC, `${this.#identity.name}: ${messageOf(error)}`);
      }
    });
  }

  /** @param always also when it is as before: for a stream that begins */
  #sayConsent(always: boolean): void {
    const { allowed, reason } = this.#microphone.decision;
    const same = allowed === this.#saidAllowed;
    this.#saidAllowed = allowed;
    if (this.#of('capture').length === 0 || (same && !always)) return;
    this.context.log.info(TOPIC, `${this.#identity.name}: may ${allowed ? '' : 'not '}record: ${reason}`);
  }

  /** A guest starts and stops as often as it likes; the log takes this much of it. */
  #info(stream: GuestStream, text: string): void {
    if (this.#lines.take(this.context.clock.nowMs()) > 0) this.#unsaid += 1;
    else {
      const unsaid = this.#unsaid === 0 ? '' : ` (${this.#unsaid} lines like this were left out)`;
      this.#unsaid = 0;
      this.context.log.info(TOPIC, `${stream.control.label} ${text}${unsaid}`);
    }
  }
}

const streamKey = (id: StreamId): string => `${id.domid}/${id.devid}/${id.pcm}/${id.stream}`;
