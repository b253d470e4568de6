// SPDX-License-Identifier: LGPL-2.1-or-later
import { parseXenbusState, XenbusState, frontendHoldsRings } from '../../../controller/xenbus/state.js';
import type { FakeXenstore } from '../fake-ports.js';

export const STREAMS = ['0/0', '0/1'] as const;
const RING_NODES = ['ring-ref', 'event-channel', 'evt-ring-ref', 'evt-event-channel'] as const;

/** Pages that guests have granted; a number is given out once. */
export class Grants {
  readonly #granted = new Set<string>();
  #next = 8;

  has(ref: string): boolean {
    return this.#granted.has(ref);
  }

  grant(): string {
    const ref = String(this.#next);
    this.#next += 1;
    this.#granted.add(ref);
    return ref;
  }

  end(refs: readonly string[]): void {
    for (const ref of refs) this.#granted.delete(ref);
  }
}

/** What holds a card in its guest. Reacts to one event at a time, when told to. */
export abstract class Frontend {
  #events = 0;
  #granted: string[] = [];
  readonly #watches: { path: string; listener: () => void }[] = [];

  constructor(
    protected readonly store: FakeXenstore,
    private readonly grants: Grants,
    protected readonly path: string,
    private readonly backendPath: string,
  ) {
    this.watch(`${backendPath}/state`);
  }

  get hasEvents(): boolean {
    return this.#events > 0;
  }

  /** Whether it plays. */
  abstract get isConnected(): boolean;

  /** Reacts to the oldest event. */
  step(): void {
    if (this.#events === 0) return;
    this.#events -= 1;
    if (this.exists) this.react(parseXenbusState(this.store.nodes.get(`${this.backendPath}/state`)));
    else this.cardGone();
  }

  /** The guest's process has died, or its driver was removed; nobody says so to xenstore. */
  end(): void {
    for (const watch of this.#watches) this.store.watches.delete(watch);
    this.free();
  }

  protected abstract react(back: XenbusState): void;
  protected abstract cardGone(): void;

  protected get exists(): boolean {
    return this.store.nodes.has(`${this.path}/state`);
  }

  protected get own(): XenbusState {
    return parseXenbusState(this.store.nodes.get(`${this.path}/state`));
  }

  protected get holdsRings(): boolean {
    return this.#granted.length > 0;
  }

  protected watch(path: string): void {
    const watch = { path, listener: () => (this.#events = Math.min(4, this.#events + 1)) };
    this.#watches.push(watch);
    this.store.watches.add(watch);
    this.#events += 1;
  }

  protected write(state: XenbusState): void {
    this.store.put(`${this.path}/state`, String(state));
  }

  protected free(): void {
    this.grants.end(this.#granted);
    this.#granted = [];
  }

  protected publishRings(): void {
    for (const stream of STREAMS) {
      for (const name of RING_NODES) {
        const number = this.grants.grant();
        this.#granted.push(number);
        this.store.put(`${this.path}/${stream}/${name}`, number);
      }
    }
  }

  protected removeRings(): void {
    for (const stream of STREAMS)
      for (const name of RING_NODES) this.store.drop(`${this.path}/${stream}/${name}`);
  }
}

/** What pa-modules/xenbus-front.c and xen-card.c do. */
export class OwnFrontend extends Frontend {
  #connected = false;

  constructor(...args: ConstructorParameters<typeof Frontend>) {
    super(...args);
    this.watch(`${this.path}/state`);
  }

  get isConnected(): boolean {
    return this.#connected && this.holdsRings && this.own === XenbusState.Connected;
  }

  protected react(back: XenbusState): void {
    if (this.own === XenbusState.Unknown) {
      if (this.holdsRings) this.#lost();
      return;
    }
    if (this.holdsRings) this.#follow(back);
    else if (back === XenbusState.InitWait) this.#publish();
    else if (frontendHoldsRings(this.own)) this.write(XenbusState.Initialising);
  }

  protected cardGone(): void {
    if (this.holdsRings) this.#lost();
  }

  #follow(back: XenbusState): void {
    const gone: XenbusState[] = [XenbusState.Closing, XenbusState.Closed, XenbusState.Unknown];
    if (
      this.own !== (this.#connected ? XenbusState.Connected : XenbusState.Initialised) ||
      gone.includes(back) ||
      (this.#connected && back !== XenbusState.Connected)
    ) {
      this.#lost();
    } else if (back === XenbusState.Connected && !this.#connected) {
      this.#connected = true;
      this.write(XenbusState.Connected);
    }
  }

  #publish(): void {
    this.publishRings();
    this.store.put(`${this.path}/version`, '2');
    this.write(XenbusState.Initialised);
  }

  #lost(): void {
    this.free();
    this.#connected = false;
    if (!this.exists || this.own === XenbusState.Unknown) return;
    this.removeRings();
    this.store.drop(`${this.path}/version`);
    this.write(XenbusState.Closed);
  }
}

/** What Linux's snd_xen_front does: it follows the backend's state alone, and keeps its own in memory. */
export class LinuxFrontend extends Frontend {
  #state: XenbusState = XenbusState.Unknown;

  constructor(...args: ConstructorParameters<typeof Frontend>) {
    super(...args);
    this.#switch(XenbusState.Initialising);
  }

  get isConnected(): boolean {
    return this.#state === XenbusState.Connected && this.holdsRings;
  }

  protected react(back: XenbusState): void {
    switch (back) {
      case XenbusState.Unknown:
      case XenbusState.Initialising:
      case XenbusState.Closed:
        this.free();
        this.#switch(XenbusState.Initialising);
        break;
      case XenbusState.InitWait:
        this.free();
        this.publishRings();
        this.#switch(XenbusState.Initialised);
        break;
      case XenbusState.Connected:
        if (this.#state === XenbusState.Initialised) this.#switch(XenbusState.Connected);
        break;
      case XenbusState.Initialised:
      case XenbusState.Closing:
      case XenbusState.Reconfiguring:
      case XenbusState.Reconfigured:
        break;
    }
  }

  protected cardGone(): void {
    this.free();
  }

  #switch(state: XenbusState): void {
    if (this.#state === state || !this.exists) return;
    this.#state = state;
    this.write(state);
  }
}
