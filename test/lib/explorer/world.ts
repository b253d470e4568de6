// SPDX-License-Identifier: LGPL-2.1-or-later
import { setImmediate as turn } from 'node:timers/promises';
import { parseXenbusState, XenbusState } from '../../../controller/xenbus/state.js';
import { FakeXenstore } from '../fake-ports.js';
import { Daemon, Lines } from './daemon.js';
import { Grants, LinuxFrontend, OwnFrontend, STREAMS, type Frontend } from './frontends.js';
import { LANES } from './gate.js';
import { Time } from './processes.js';
import { SoundServer } from './sound-server.js';

const BACKEND = '/local/domain/0/backend/vsnd';
const CONTROL = '/local/domain/0/data/xen-audio';
const UUID = '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10';
const FIRST_DOMID = 7;
/** What a registry watches when there is no card; what a connected card adds. */
const WATCHES = 3;
const CARD_WATCHES = 1 + 2 * STREAMS.length;
/** libxl's limit for a device that is to go, and our own for one that is to come: the longest backoff is a minute. */
const DETACH_MS = 10_000;
const CONNECT_MS = 150_000;
const ROUNDS_MAX = 3000;

export type Kind = 'own' | 'linux';

/** One host with one guest with one card of two streams, in which everything happens when it is told to. */
export class World {
  readonly time = new Time();
  readonly log = new Lines();
  readonly store = new FakeXenstore();
  readonly #grants = new Grants();
  readonly server = new SoundServer(this.store, (ref) => this.#grants.has(ref));
  daemon: Daemon;
  frontend: Frontend | undefined;
  /** The guest has spoilt what its frontend has written: only a new one is healthy. */
  spoilt = false;
  #domid = FIRST_DOMID;
  /** What must never be. */
  readonly #wrongs: string[] = [];
  readonly #records = new Map<string, object>();

  constructor(
    readonly kind: Kind,
    private readonly stepped: boolean,
  ) {
    this.daemon = this.#makeDaemon();
    this.attach();
  }

  get frontPath(): string {
    return `/local/domain/${this.#domid}/device/vsnd/0`;
  }

  get backPath(): string {
    return `${BACKEND}/${this.#domid}/0`;
  }

  // ---- what a toolstack does ----

  /** Makes the card anew, and its domain where there is none. */
  attach(): void {
    if (!this.store.introduced.has(this.#domid)) this.#introduce();
    this.store.drop(this.frontPath);
    this.store.drop(this.backPath);
    this.store.putAll(this.frontPath, {
      state: '1',
      backend: this.backPath,
      '0/0/type': 'p',
      '0/1/type': 'c',
    });
    this.store.putAll(this.backPath, { frontend: this.frontPath, online: '1', state: '1' });
    if (this.kind === 'linux' || this.frontend === undefined) this.rebear();
  }

  detach(): void {
    if (!this.store.nodes.has(`${this.backPath}/state`)) return;
    this.store.putAll(this.backPath, { online: '0', state: '5' });
  }

  destroy(): void {
    this.frontend?.end();
    this.frontend = undefined;
    this.store.introduced.delete(this.#domid);
    this.store.drop(`/local/domain/${this.#domid}`);
    this.store.fire('@releaseDomain');
  }

  #introduce(): void {
    this.#domid += 1;
    this.store.introduced.add(this.#domid);
    this.store.putAll(`/local/domain/${this.#domid}`, { name: 'guest', vm: `/vm/${UUID}` });
    this.store.fire('@introduceDomain');
  }

  // ---- processes ----

  /** The frontend's process, or driver, ends without a word, and another takes the card. */
  rebear(): void {
    this.frontend?.end();
    const make = this.kind === 'own' ? OwnFrontend : LinuxFrontend;
    this.frontend = new make(this.store, this.#grants, this.frontPath, this.backPath);
    this.spoilt = false;
  }

  /** Another daemon in the place of one that has died, or will have ended. */
  replaceDaemon(how: 'crash' | 'end'): void {
    const old = this.daemon;
    const replace = (): void => {
      if (this.daemon === old) this.daemon = this.#makeDaemon();
      old.crash(); // whatever it has left
    };
    if (how === 'end') old.end(replace);
    else replace();
  }

  #makeDaemon(): Daemon {
    const onWrite = (directory: string, nodes: Readonly<Record<string, string>>): void => {
      this.#checkWrite(directory, nodes['state']);
    };
    return new Daemon(
      {
        store: this.store,
        time: this.time,
        server: this.server,
        log: this.log,
        records: this.#records,
        onWrite,
      },
      !this.stepped,
    );
  }

  /**
   * State 2 says that nothing is mapped, and 6 as well except to Linux's driver, which frees at 6 and is answered
   * meanwhile; what a server has loaded that was away is not known until it is asked.
   */
  #checkWrite(directory: string, state: string | undefined): void {
    const mapped = this.server.of(Number(directory.split('/').at(-2))).length;
    const saysFree = state === '2' || (state === '6' && this.kind === 'own');
    if (saysFree && mapped > 0 && this.daemon.pulse.isKnown)
      this.#wrongs.push(`state ${state} was written while ${mapped} module(s) were loaded`);
  }

  // ---- time ----

  /** Lets everything come to pass that needs no time, unless it waits at the gate. */
  async settle(): Promise<void> {
    await turn();
    if (this.daemon.gate.runsWild) throw new Error('the controller turns in a circle');
  }

  async pass(byMs: number): Promise<void> {
    const endMs = this.time.nowMs + byMs;
    for (let more = true; more;) {
      more = this.time.advance(endMs);
      this.daemon.gate.timePassed();
      await this.settle();
    }
  }

  /** One call comes to pass; where none waits, the frontend moves, or else time passes until something is due. */
  step(): void {
    if (LANES.some((lane) => this.daemon.gate.letThrough(lane))) return;
    if (this.frontend?.hasEvents === true) this.frontend.step();
    else {
      this.time.advance(this.time.nextMs ?? this.time.nowMs);
      this.daemon.gate.timePassed();
    }
  }

  stepFrontend(): void {
    for (let events = 0; events < 8; events += 1) this.frontend?.step();
  }

  get isResting(): boolean {
    return this.daemon.gate.pending === 0 && this.frontend?.hasEvents !== true && this.time.pending === 0;
  }

  /** Lets all sides do what they want, in turns, until `test` holds. Returns whether it does. */
  async #run(limitMs: number, test: () => boolean): Promise<boolean> {
    const endMs = this.time.nowMs + limitMs;
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      await this.settle();
      if (this.frontend?.hasEvents === true) this.frontend.step();
      else if (test()) return true;
      else if (!this.time.advance(endMs)) return false;
      this.daemon.gate.timePassed();
    }
    throw new Error('frontend and controller go round in a circle');
  }

  // ---- what must hold ----

  /** With everything mended, a healthy frontend connects; and when the card is removed, nothing stays. */
  async check(): Promise<void> {
    await this.#mend();
    await this.connect();
    await this.#remove();
    let ended = false;
    this.daemon.end(() => (ended = true));
    await this.#run(DETACH_MS, () => ended);
    this.#demand(ended, 'the controller does not stop');
    this.#demandEqual(this.store.watches.size, 0, 'watches of a controller that has stopped');
    this.#demandEqual(this.time.pending, 0, 'timers of a controller that has stopped');
  }

  /** Waits until the card is connected and all is at rest. */
  async connect(): Promise<void> {
    const connected = (): boolean =>
      this.#back === XenbusState.Connected && this.frontend?.isConnected === true;
    await this.#run(CONNECT_MS, connected);
    this.#demand(connected(), `not connected: ${this.#states()}`);
    await this.#run(CONNECT_MS, () => false);
    this.#demand(connected(), `connected, and then no more: ${this.#states()}`);
    this.#demandEqual(this.server.loaded.length, STREAMS.length, 'modules of a connected card');
    const rings = new Set(
      this.server.loaded.map((module) => SoundServer.ringOf(module)).filter((ref) => this.#grants.has(ref)),
    );
    this.#demandEqual(rings.size, STREAMS.length, 'modules that serve its rings');
    this.#demandRest(WATCHES + CARD_WATCHES + (this.kind === 'own' ? 2 : 1), 'a connected card');
  }

  async #mend(): Promise<void> {
    const { daemon } = this;
    daemon.gate.open();
    for (const connection of [daemon.connection, daemon.pulse]) {
      if ('failNext' in connection) connection.failNext = false;
      else [connection.refuseNext, connection.loseNext] = [false, false];
    }
    await this.settle();
    this.daemon.gate.open();
    this.server.runs = true;
    if (!this.daemon.pulse.isUp) this.daemon.pulse.setUp(true);
    this.daemon.setSuspended(false);
    await this.settle();
    this.#demand(!this.daemon.busy, 'the controller does not stop');
    if (!this.#isIntact) {
      await this.#removeCard();
      this.attach();
      this.rebear();
    } else if (this.spoilt || this.kind === 'linux') this.rebear();
  }

  get #isIntact(): boolean {
    const { nodes, introduced } = this.store;
    return (
      introduced.has(this.#domid) &&
      nodes.get(`${this.backPath}/online`) === '1' &&
      parseXenbusState(nodes.get(`${this.frontPath}/state`)) !== XenbusState.Unknown &&
      nodes.has(`${this.frontPath}/backend`) &&
      nodes.get(`${this.frontPath}/0/0/type`) === 'p' &&
      nodes.get(`${this.frontPath}/0/1/type`) === 'c' &&
      this.frontend !== undefined
    );
  }

  /** As libxl does it. */
  async #removeCard(): Promise<void> {
    const there = this.store.nodes.has(`${this.backPath}/state`);
    this.detach();
    if (there) {
      await this.#run(DETACH_MS, () => this.#back === XenbusState.Closed);
      this.#demand(this.#back === XenbusState.Closed, `not detached: ${this.#states()}`);
    }
    this.store.drop(BACKEND);
    this.store.drop(this.frontPath);
    await this.settle();
  }

  async #remove(): Promise<void> {
    await this.#removeCard();
    await this.#run(CONNECT_MS, () => false);
    this.frontend?.end();
    this.frontend = undefined;
    this.#demandEqual(this.server.loaded.length, 0, 'modules of a card that is gone');
    this.#demandEqual(this.daemon.guests.all.length, 0, 'guests without a card');
    const left = [...this.store.nodes.keys()].filter((path) => path.startsWith(CONTROL));
    this.#demand(left.length === 0, `control directories of a card that is gone: ${left.join(' ')}`);
    this.#demandRest(WATCHES, 'no card');
  }

  #demandRest(watches: number, of: string): void {
    this.#demandEqual(this.store.watches.size, watches, `watches with ${of}`);
    this.#demandEqual(this.time.pending, 0, `timers with ${of}`);
    this.#demandEqual(this.daemon.gate.pending, 0, `pending calls with ${of}`);
    this.#demand(this.#wrongs.length === 0, this.#wrongs.join('; '));
  }

  #demandEqual(found: number, expected: number, what: string): void {
    this.#demand(found === expected, `${found} ${what}, expected ${expected}`);
  }

  #demand(holds: boolean, complaint: string): void {
    if (!holds) throw new Error(complaint);
  }

  get #back(): XenbusState {
    return parseXenbusState(this.store.nodes.get(`${this.backPath}/state`));
  }

  #states(): string {
    const [front, back] = [this.frontPath, this.backPath].map((path) =>
      this.store.nodes.get(`${path}/state`),
    );
    return `frontend ${front ?? 'gone'}, backend ${back ?? 'gone'}`;
  }
}
