// SPDX-License-Identifier: LGPL-2.1-or-later
import type { DaemonConfig } from '../../schemas/config.js';
import { FEATURES, SNDIF_VERSION } from '../../schemas/sndif.js';
import type { PolicyDecision } from '../policy/decision.js';
import { evaluateConnection } from '../policy/limits.js';
import { deviceOfModule } from '../sndif/module-arguments.js';
import { hasCode, messageOf } from '../util/errors.js';
import { Backoff, RateLimit } from '../util/retry.js';
import { backendPath, deviceKey, frontendPath, type DeviceId } from '../xenbus/paths.js';
import { describeState, frontendHoldsRings, parseXenbusState, XenbusState } from '../xenbus/state.js';
import { readCardSetup } from './card-setup.js';
import type { CaptureConsent } from './capture-consent.js';
import type { ControlDirectory } from './control-directory.js';
import { readGuest } from './guest.js';
import { planSteps, type DeviceStatus, type Link, type Observation } from './plan.js';
import type { ClockPort, LogMessage, LogPort, PulseModule, PulsePort, Watch, XenstorePort } from './ports.js';
import { changesDevice, runStep, type StepTarget } from './steps.js';
import { StreamSet, unloadIfUp, type StreamsCondition } from './stream-set.js';

/** What a device needs of the daemon around it. */
export interface DeviceContext {
  readonly ownDomid: number;
  readonly config: DaemonConfig;
  readonly xenstore: XenstorePort;
  readonly pulse: PulsePort;
  readonly clock: ClockPort;
  readonly log: LogPort;
  readonly control: ControlDirectory;
  readonly consent: CaptureConsent;
  /** Streams the same guest has, or is getting, on its other cards. */
  streamsElsewhere(id: DeviceId): number;
  /** The device is gone. */
  onForgotten(id: DeviceId): void;
}

const TOPIC = 'device';
/** A connection that lasted this long clears what its guest did before. */
const STABLE_MS = 10_000;
/** Connections a guest may open and close in a row before it has to wait in between. */
const FREE_CYCLES = 8;
const BACKOFF_BASE_MS = 1000;
const BACKOFF_CEILING_MS = 60_000;
const ROUNDS_BURST = 100;
const ROUNDS_PER_SECOND = 10;

/**
 * One card of one guest, the backend's side.
 *
 * All work runs in one loop: look, plan, act, until there is nothing to do. `notify` only asks for another look, so any
 * number of events costs at most one round, and a newer look supersedes an older plan. Nothing here waits for the guest.
 */
export class BackendDevice implements StepTarget {
  readonly #path: string;
  readonly #frontendPath: string;
  readonly #streams: StreamSet;
  readonly #backoff = new Backoff(BACKOFF_BASE_MS, BACKOFF_CEILING_MS, FREE_CYCLES);
  readonly #retry = new Backoff(BACKOFF_BASE_MS, BACKOFF_CEILING_MS);
  readonly #rounds = new RateLimit(ROUNDS_BURST, ROUNDS_PER_SECOND);
  #label: string;
  #link: Link = 'idle';
  #claimed = 0;
  #announced = false;
  #backendText: string | undefined;
  #condition: StreamsCondition = { streams: 'fine', reason: '' };
  #initWaitAtMs: number | undefined;
  #connectedAtMs: number | undefined;
  #backoffUntilMs = 0;
  #judged = false;
  #verify = true;
  #dirty = false;
  #stopped = false;
  #worker: Promise<void> | undefined;
  #watch: Watch | undefined;
  #cancelTimer: () => void = () => undefined;
  #lastComplaint = '';

  constructor(
    private readonly context: DeviceContext,
    readonly id: DeviceId,
  ) {
    this.#path = backendPath(context.ownDomid, id);
    this.#frontendPath = frontendPath(id);
    this.#label = deviceKey(id);
    const { ownDomid, config, xenstore, pulse, control, consent } = context;
    this.#streams = new StreamSet(
      { ownDomid, moduleName: config.pulse.modules.backend, xenstore, pulse, control, consent },
      id,
      () => {
        this.notify();
      },
    );
  }

  /** Streams connected or being connected. */
  get streamCount(): number {
    return this.#claimed;
  }

  /** Something about the device may have changed: look at it. */
  notify(): void {
    if (this.#stopped) return;
    this.#dirty = true;
    this.#worker ??= this.#work();
  }

  /** The sound server came or went: what it has loaded must be looked at as well. */
  serverChanged(): void {
    this.#verify = true;
    this.notify();
  }

  /** Lets go of the device as it is: a running stream plays on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.#worker;
    await this.#streams.leave();
    await this.#watch?.remove();
    this.#watch = undefined;
  }

  async #work(): Promise<void> {
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      try {
        await this.#round();
      } catch (error) {
        this.#complain(error);
      }
    }
    this.#worker = undefined;
  }

  async #round(): Promise<void> {
    this.#cancelTimer();
    const waitMs = this.#rounds.take(this.context.clock.nowMs());
    if (waitMs > 0) {
      this.replanIn(waitMs);
      return;
    }
    if (this.#verify && this.context.pulse.isUp) await this.#reconcile();
    const observed = await this.#observe();
    const steps = planSteps(this.#status(), observed);
    for (const step of steps) {
      if (!(await runStep(this, step))) break;
    }
    if (steps.some(changesDevice)) this.#dirty = true;
    this.#retry.reset();
    if (observed.frontendPathRight) this.#lastComplaint = '';
  }

  #status(): DeviceStatus {
    const nowMs = this.context.clock.nowMs();
    const heldSinceMs = this.#initWaitAtMs ?? nowMs;
    return {
      link: this.#link,
      announced: this.#announced,
      holdLeftMs: Math.max(0, heldSinceMs + this.context.config.handshake.holdInitWaitMs - nowMs),
      backoffLeftMs: Math.max(0, this.#backoffUntilMs - nowMs),
    };
  }

  async #observe(): Promise<Observation> {
    const { xenstore, pulse, clock } = this.context;
    this.#backendText = await xenstore.read(`${this.#path}/state`);
    if (this.#backendText !== undefined) await this.#watchFrontend();
    const backend = this.#backendText === undefined ? undefined : parseXenbusState(this.#backendText);
    if (backend !== XenbusState.InitWait) this.#initWaitAtMs = undefined;
    else this.#initWaitAtMs ??= clock.nowMs();
    this.#condition = await this.#streams.condition();
    return {
      backend,
      frontend: parseXenbusState(await xenstore.read(`${this.#frontendPath}/state`)),
      online: (await xenstore.read(`${this.#path}/online`)) !== '0',
      domainAlive: await xenstore.isDomainIntroduced(this.id.domid),
      frontendPathRight: backend === undefined || (await this.#frontendPathIsRight()),
      serverUp: pulse.isUp,
      streams: this.#condition.streams,
    };
  }

  async #watchFrontend(): Promise<void> {
    if (this.#watch !== undefined) return;
    const { xenstore } = this.context;
    this.#watch = await xenstore.watch(`${this.#frontendPath}/state`, () => {
      this.notify();
    });
    this.#label = `${(await readGuest(xenstore, this.id.domid)).name}/${this.id.devid}`;
    this.#log('info', () => `found ${this.#path}`);
  }

  async #frontendPathIsRight(): Promise<boolean> {
    const named = await this.context.xenstore.read(`${this.#path}/frontend`);
    if (named === this.#frontendPath) return true;
    this.#warnOnce(
      `${this.#path}/frontend: expected ${this.#frontendPath}, found ${String(named)}: left alone`,
    );
    return false;
  }

  /** Compares with the modules the server has: adopts those of a connection that plays on, unloads the others. */
  async #reconcile(): Promise<void> {
    const { pulse, config } = this.context;
    const mine = (await pulse.modules()).filter(
      (module) => module.name === config.pulse.modules.backend && this.#owns(module),
    );
    if (this.#link === 'idle') await this.#adopt(mine);
    for (const module of this.#streams.verify(mine)) {
      this.#log('info', () => `unloading module ${module.index}, which serves no connection`);
      await unloadIfUp(pulse, module);
    }
    this.#verify = false;
  }

  #owns(module: PulseModule): boolean {
    const id = deviceOfModule(module.argument);
    return id?.domid === this.id.domid && id.devid === this.id.devid;
  }

  async #adopt(modules: readonly PulseModule[]): Promise<void> {
    const { backend, frontend, domainAlive } = await this.#observe();
    if (backend !== XenbusState.Connected || !frontendHoldsRings(frontend) || !domainAlive) return;
    const setup = await this.#readSetup();
    if (setup.kind !== 'accepted' || !(await this.#streams.adopt(setup.setups, modules))) return;
    this.#linkUp();
    this.#log('info', () => `adopted ${this.#streams.size} running stream(s)`);
  }

  async announce(): Promise<boolean> {
    const features = Object.fromEntries(FEATURES.map((feature) => [feature, '1']));
    this.#announced = await this.#writeIf({ versions: String(SNDIF_VERSION), ...features });
    return this.#announced;
  }

  async setState(state: XenbusState): Promise<boolean> {
    const written = await this.#writeIf({ state: String(state) });
    if (!written) return false;
    this.#backendText = String(state);
    this.#log('info', () => `state ${describeState(state)}`);
    return true;
  }

  async connect(): Promise<boolean> {
    const { clock, config } = this.context;
    const deadlineMs = clock.nowMs() + config.handshake.timeoutMs;
    const setup = await this.#readSetup();
    if (setup.kind === 'refused') return this.#refuse(setup.reason);
    for (const note of setup.notes) this.#log('info', note);
    this.#link = 'connected';
    for (const stream of setup.setups) {
      try {
        await this.#streams.load(stream);
      } catch (error) {
        await this.#streams.release();
        this.#link = 'idle';
        if (!hasCode(error, 'pulse-refused')) throw error;
        return this.#refuse(`stream ${stream.id.pcm}/${stream.id.stream}: ${messageOf(error)}`);
      }
      if (this.#stopped) return false;
      if (clock.nowMs() > deadlineMs)
        return this.#refuse(`not connected in ${config.handshake.timeoutMs} ms`);
    }
    this.#linkUp();
    return true;
  }

  async disconnect(): Promise<boolean> {
    if (this.#link === 'connected' && !this.#judged) this.#penalise(false);
    await this.#streams.release();
    this.#link = 'idle';
    this.#claimed = 0;
    this.#judged = false;
    this.#connectedAtMs = undefined;
    return true;
  }

  judge(verdict: 'broken' | 'lost'): boolean {
    this.#judged = true;
    this.#penalise(verdict === 'broken');
    if (this.#link !== 'refused') this.#log('warning', () => `connection closed: ${this.#lossReason()}`);
    return true;
  }

  #lossReason(): string {
    if (this.#condition.reason !== '') return this.#condition.reason;
    return this.context.pulse.isUp ? 'no module serves its streams' : 'the sound server is down';
  }

  replanIn(delayMs: number): boolean {
    this.#cancelTimer();
    this.#cancelTimer = this.context.clock.after(delayMs, () => {
      this.notify();
    });
    return true;
  }

  /** Final, so not done on an old look: the toolstack may have made the device anew. */
  async forget(): Promise<boolean> {
    if (this.#dirty) return false;
    this.#stopped = true;
    this.#cancelTimer();
    this.context.onForgotten(this.id);
    if (this.#watch !== undefined) this.#log('info', 'gone');
    await this.#watch?.remove();
    this.#watch = undefined;
    return true;
  }

  #readSetup(): ReturnType<typeof readCardSetup> {
    const { xenstore, config } = this.context;
    return xenstore.snapshot((reader) =>
      readCardSetup(reader, this.id, config, (wanted) => this.#claim(wanted)),
    );
  }

  /** Decides and counts in one go: cards of a guest that connect at the same time cannot pass the limit together. */
  #claim(wanted: number): PolicyDecision {
    const elsewhere = this.context.streamsElsewhere(this.id);
    const decision = evaluateConnection(this.context.config.limits, elsewhere, wanted);
    this.#claimed = decision.allowed ? wanted : 0;
    return decision;
  }

  #refuse(reason: string): boolean {
    this.#link = 'refused';
    this.#log('warning', `refused: ${reason}`);
    return false;
  }

  #linkUp(): void {
    this.#link = 'connected';
    this.#connectedAtMs = this.context.clock.nowMs();
  }

  #penalise(broken: boolean): void {
    const nowMs = this.context.clock.nowMs();
    const idleMs = nowMs - this.#backoffUntilMs;
    const lastedMs = this.#connectedAtMs === undefined ? 0 : nowMs - this.#connectedAtMs;
    if (lastedMs >= STABLE_MS || idleMs >= BACKOFF_CEILING_MS) this.#backoff.reset();
    this.#backoffUntilMs = nowMs + this.#backoff.fail(broken);
  }

  async #writeIf(nodes: Readonly<Record<string, string>>): Promise<boolean> {
    if (this.#backendText === undefined) return false;
    return await this.context.xenstore.writeIf(
      this.#path,
      { node: 'state', value: this.#backendText },
      nodes,
    );
  }

  /** An error of our own side: tried again later, logged when it is another than before. */
  #complain(error: unknown): void {
    if (hasCode(error, 'xenstore-lost', 'aborted')) return;
    this.#warnOnce(messageOf(error));
    this.replanIn(this.#retry.fail());
  }

  #warnOnce(message: string): void {
    if (message === this.#lastComplaint) return;
    this.#lastComplaint = message;
    this.#log('warning', message);
  }

  #log(level: 'warning' | 'info', message: LogMessage): void {
    const text = (): string => (typeof message === 'string' ? message : message());
    this.context.log[level](TOPIC, () => `${this.#label}: ${text()}`);
  }
}
