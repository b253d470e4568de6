// SPDX-License-Identifier: LGPL-2.1-or-later
import type { DaemonConfig } from '../../schemas/config.js';
import { FEATURES, SNDIF_VERSION } from '../../schemas/sndif.js';
import type { PolicyDecision } from '../policy/decision.js';
import type { Guest } from '../guest/guest.js';
import type { Guests } from '../guest/guests.js';
import { readGuest } from '../guest/identity.js';
import type { GuestLimits } from '../policy/evaluate.js';
import { evaluateConnection } from '../policy/limits.js';
import { deviceOfModule } from '../sndif/module-arguments.js';
import { hasCode, messageOf } from '../util/errors.js';
import { Backoff, RateLimit } from '../util/retry.js';
import { backendPath, deviceKey, frontendPath, type DeviceId } from '../xenbus/paths.js';
import { describeState, frontendHoldsRings, parseXenbusState, XenbusState } from '../xenbus/state.js';
import { removeBackendDirectory } from './backend-directory.js';
import { readCardSetup } from './card-setup.js';
import type { ControlDirectory } from './control-directory.js';
import { BACKOFF_BASE_MS, BACKOFF_CEILING_MS, Patience } from './patience.js';
import { planSteps, type DeviceStatus, type Link, type Observation } from './plan.js';
import type { ClockPort, LogMessage, LogPort, PulseModule, PulsePort, Watch, XenstorePort } from './ports.js';
import { readIfAllowed } from './read-if-allowed.js';
import { changesDevice, runStep, type StepTarget } from './steps.js';
import { StreamSet, unloadIfUp, type StreamsCondition } from './stream-set.js';
import { WatchedNodes } from './watched-nodes.js';

/** What a device needs of the daemon around it. */
export interface DeviceContext {
  readonly ownDomid: number;
  readonly config: DaemonConfig;
  readonly xenstore: XenstorePort;
  readonly pulse: PulsePort;
  readonly clock: ClockPort;
  readonly log: LogPort;
  readonly control: ControlDirectory;
  readonly guests: Guests;
  /** Streams the same guest has, or is getting, on its other cards. */
  streamsElsewhere(id: DeviceId): number;
  /** The device is gone. */
  onForgotten(id: DeviceId): void;
}

/** What is known of a card whose backend directory has been seen. */
interface Found {
  readonly guest: Guest;
  readonly streams: StreamSet;
  /** On the frontend's state. */
  readonly watch: Watch;
}

const FINE: StreamsCondition = { streams: 'fine', reason: '' };
const CARD_STATES = { idle: 'connecting', connected: 'connected', refused: 'refused' } as const;
const TOPIC = 'device';
const ROUNDS_BURST = 100;
const ROUNDS_PER_SECOND = 10;

/**
 * One card of one guest, the backend's side.
 *
 * All work runs in one loop: look, plan, act, until there is nothing to do. `notify` only asks for another look, so any
 * number of events costs at most one round, and a newer look supersedes an older plan. A look reads again what an event has named.
 * Nothing here waits for the guest.
 */
export class BackendDevice implements StepTarget {
  readonly #path: string;
  readonly #frontendPath: string;
  readonly #nodes: WatchedNodes;
  #found: Found | undefined;
  readonly #patience: Patience;
  readonly #retry = new Backoff(BACKOFF_BASE_MS, BACKOFF_CEILING_MS);
  readonly #rounds = new RateLimit(ROUNDS_BURST, ROUNDS_PER_SECOND);
  #label: string;
  #guestName: string | undefined;
  #link: Link = 'idle';
  #claimed = 0;
  #announced = false;
  #backendText: string | undefined;
  #condition: StreamsCondition = FINE;
  #judged = false;
  /** We have let go of a frontend that lives, and it has not of what it granted. */
  #frontendLags = false;
  #verify = true;
  /** As asked when a domain was released last; undefined: to be asked again. */
  #domainAlive: boolean | undefined;
  #dirty = false;
  #stopped = false;
  #worker: Promise<void> | undefined;
  #cancelTimer: () => void = () => undefined;
  #lastComplaint = '';

  constructor(
    private readonly context: DeviceContext,
    readonly id: DeviceId,
  ) {
    this.#nodes = new WatchedNodes(context.xenstore);
    this.#patience = new Patience(context.config.handshake.holdInitWaitMs);
    this.#path = backendPath(context.ownDomid, id);
    this.#frontendPath = frontendPath(id);
    this.#label = deviceKey(id);
  }

  /** Streams connected or being connected. */
  get streamCount(): number {
    return this.#claimed;
  }

  /** Whether nothing of the guest is mapped, and no work that might change that is under way. */
  get isDisconnected(): boolean {
    return this.#link !== 'connected' && this.#worker === undefined;
  }

  /** Whether the guest has closed as well what it had open for a connection that we ended. */
  get hasGuestLetGo(): boolean {
    return this.isDisconnected && !this.#frontendLags;
  }

  /** Something about the device may have changed, in xenstore no more than that path and what is below: look at it. */
  notify(path?: string): void {
    if (this.#stopped) return;
    this.#nodes.changed(path);
    this.#dirty = true;
    this.#worker ??= this.#work();
  }

  /** The sound server came or went: what it has loaded must be looked at as well. */
  serverChanged(): void {
    this.#verify = true;
    this.notify();
  }

  /** A domain has ended, perhaps ours. */
  domainReleased(): void {
    this.#domainAlive = undefined;
    this.notify();
  }

  /** Lets go of the device as it is: a running stream plays on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.#worker;
    await this.#found?.streams.leave();
    await this.#lose();
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
    if (this.#isHeld) this.context.guests.changed(); // somebody waits for the end of the work
  }

  get #isHeld(): boolean {
    return this.#found?.guest.isSuspended(this.id.domid) ?? false;
  }

  get #servesLinux(): boolean {
    return this.#found?.streams.servesLinux ?? false;
  }

  async #round(): Promise<void> {
    this.#cancelTimer();
    const waitMs = this.#rounds.take(this.context.clock.nowMs());
    if (waitMs > 0) {
      this.replanIn(waitMs);
      return;
    }
    await this.#find();
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
    return {
      ...this.#patience.left(this.context.clock.nowMs(), this.#servesLinux),
      link: this.#link,
      announced: this.#announced,
      held: this.#isHeld,
      ownsDirectory: this.context.ownDomid !== 0,
    };
  }

  async #observe(): Promise<Observation> {
    const { xenstore, pulse, clock } = this.context;
    this.#backendText = await this.#nodes.read(`${this.#path}/state`);
    const backend = this.#backendText === undefined ? undefined : parseXenbusState(this.#backendText);
    this.#patience.saw(backend, clock.nowMs());
    this.#condition = (await this.#found?.streams.condition()) ?? FINE;
    const frontend = parseXenbusState(await readIfAllowed(this.#nodes, `${this.#frontendPath}/state`));
    this.#frontendLags &&= frontendHoldsRings(frontend);
    return {
      backend,
      frontend,
      online: (await this.#nodes.read(`${this.#path}/online`)) !== '0',
      domainAlive: (this.#domainAlive ??= await xenstore.isDomainIntroduced(this.id.domid)),
      frontendPathRight: backend === undefined || (await this.#frontendPathIsRight()),
      serverUp: pulse.isUp,
      streams: this.#condition.streams,
    };
  }

  /** Makes acquaintance with the guest, once its card is there. */
  async #find(): Promise<void> {
    if (this.#found !== undefined) return;
    const { ownDomid, config, xenstore, pulse, control, guests } = this.context;
    if ((await this.#nodes.read(`${this.#path}/state`)) === undefined) return;
    const identity = await readGuest(xenstore, this.id.domid);
    const look = (path: string): void => {
      this.notify(path);
    };
    const watch = await xenstore.watch(`${this.#frontendPath}/state`, look);
    this.#nodes.changed(this.#frontendPath);
    const guest = guests.card(this.id, identity, CARD_STATES[this.#link]);
    const moduleName = config.pulse.modules.backend;
    const context = { ownDomid, moduleName, xenstore, nodes: this.#nodes, pulse, control };
    this.#found = { guest, watch, streams: new StreamSet(context, this.id, guest, look) };
    this.#guestName = identity.name;
    this.#label = `${identity.name}/${this.id.devid}`;
    this.#log('info', () => `found ${this.#path}`);
  }

  async #lose(): Promise<void> {
    const found = this.#found;
    if (found === undefined) return;
    await found.watch.remove();
    this.#found = undefined;
    this.context.guests.cardGone(this.id, found.guest);
  }

  async #frontendPathIsRight(): Promise<boolean> {
    const named = await this.#nodes.read(`${this.#path}/frontend`);
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
    for (const module of this.#found?.streams.verify(mine) ?? mine) {
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
    const found = this.#found;
    if (found === undefined) return;
    const setup = await this.#readSetup(found.guest);
    if (setup.kind !== 'accepted' || !(await found.streams.adopt(setup.setups, modules))) return;
    this.#linkUp();
    this.#log('info', () => `adopted ${found.streams.size} running stream(s)`);
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
    const found = this.#found;
    if (found === undefined) return false;
    const deadlineMs = clock.nowMs() + config.handshake.timeoutMs;
    const setup = await this.#readSetup(found.guest);
    if (setup.kind === 'refused') return this.#refuse(setup.reason);
    for (const note of setup.notes) this.#log('info', note);
    this.#setLink('connected');
    for (const stream of setup.setups) {
      try {
        await found.streams.load(stream);
      } catch (error) {
        await found.streams.release();
        this.#setLink('idle');
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
    const isOurWish = this.#link === 'connected' && !this.#judged;
    if (isOurWish && !this.#isHeld) this.#patience.penalise(false, this.context.clock.nowMs());
    this.#frontendLags = isOurWish && !this.#servesLinux; // which has had its time
    await this.#found?.streams.release();
    this.#setLink('idle');
    this.#claimed = 0;
    this.#judged = false;
    this.#patience.disconnected();
    return true;
  }

  judge(verdict: 'broken' | 'lost'): boolean {
    this.#judged = true;
    this.#patience.penalise(verdict === 'broken', this.context.clock.nowMs());
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

  async removeDirectory(): Promise<boolean> {
    const removed = await removeBackendDirectory(this.context.xenstore, this.context.ownDomid, this.id);
    this.#nodes.changed(this.#path);
    return removed;
  }

  /** Final, so not done on an old look: the toolstack may have made the device anew. What may fail comes first. */
  async forget(): Promise<boolean> {
    if (this.#dirty) return false;
    await this.context.control.removeCard(this.id); // a controller that died may have left it
    if (this.#found !== undefined) this.#log('info', 'gone');
    await this.#lose();
    if (this.#isDirty()) return false;
    this.#stopped = true;
    this.#cancelTimer();
    this.context.onForgotten(this.id);
    return true;
  }

  /** It may have become so during a wait. */
  #isDirty(): boolean {
    return this.#dirty;
  }

  #readSetup({ policy }: Guest): ReturnType<typeof readCardSetup> {
    return this.context.xenstore.snapshot((reader) =>
      readCardSetup(reader, this.id, policy.limits, (wanted) => this.#claim(policy.limits, wanted)),
    );
  }

  /** Decides and counts in one go: cards of a guest that connect at the same time cannot pass the limit together. */
  #claim(limits: GuestLimits, wanted: number): PolicyDecision {
    const elsewhere = this.context.streamsElsewhere(this.id);
    const decision = evaluateConnection(limits, elsewhere, wanted);
    this.#claimed = decision.allowed ? wanted : 0;
    return decision;
  }

  #refuse(reason: string): boolean {
    this.#setLink('refused');
    this.#log('warning', `refused: ${reason}`);
    return false;
  }

  #linkUp(): void {
    this.#setLink('connected');
    this.#patience.connected(this.context.clock.nowMs());
  }

  #setLink(link: Link): void {
    this.#link = link;
    const guest = this.#found?.guest;
    guest?.card(this.id, guest.identity, CARD_STATES[link]);
  }

  async #writeIf(nodes: Readonly<Record<string, string>>): Promise<boolean> {
    if (this.#backendText === undefined) return false;
    const guard = { node: 'state', value: this.#backendText };
    const written = await this.context.xenstore.writeIf(this.#path, guard, nodes);
    for (const node of Object.keys(nodes)) this.#nodes.changed(`${this.#path}/${node}`);
    return written;
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
    const guest = this.#guestName;
    const subject = { device: deviceKey(this.id), ...(guest !== undefined && { guest }) };
    this.context.log[level](TOPIC, () => `${this.#label}: ${text()}`, subject);
  }
}
