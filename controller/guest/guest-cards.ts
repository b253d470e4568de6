// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestState } from '../api/state.js';
import { deviceKey, type DeviceId } from '../xenbus/paths.js';

/** How the connection of a card is, as its device sees it. */
export type CardState = 'connecting' | 'connected' | 'refused';

interface Card {
  readonly domid: number;
  readonly state: CardState;
}

/** The cards of a guest, of all its domains, and which of these is being suspended. */
export class GuestCards {
  /** In the order in which they came. */
  readonly #cards = new Map<string, Card>();

  /** @param suspendedDomid the domain whose cards shall stay disconnected */
  constructor(private suspendedDomid: number | undefined) {}

  get isEmpty(): boolean {
    return this.#cards.size === 0;
  }

  /** That of the card which came last: a guest that is restored or moves here has its old cards a little longer. */
  get domid(): number {
    return [...this.#cards.values()].at(-1)?.domid ?? 0;
  }

  get state(): GuestState['state'] {
    if (this.isSuspended) return 'suspended';
    const states = [...this.#cards.values()].map(({ state }) => state);
    if (states.includes('connected')) return 'connected';
    return states.includes('refused') ? 'refused' : 'connecting';
  }

  get isSuspended(): boolean {
    return this.suspendedDomid !== undefined;
  }

  /** Whether the cards of a domain shall stay disconnected. */
  holds(domid: number): boolean {
    return this.suspendedDomid === domid;
  }

  /** With a card of another domain a suspend is over. Returns what that was to us. */
  set(id: DeviceId, state: CardState): 'new' | 'changed' | 'same' {
    const known = this.#cards.get(deviceKey(id));
    if (known?.state === state) return 'same';
    if (known === undefined && this.suspendedDomid !== id.domid) this.suspendedDomid = undefined;
    this.#cards.set(deviceKey(id), { domid: id.domid, state });
    return known === undefined ? 'new' : 'changed';
  }

  /** Returns whether it was there. */
  delete(id: DeviceId): boolean {
    return this.#cards.delete(deviceKey(id));
  }

  setSuspended(suspended: boolean): void {
    this.suspendedDomid = suspended ? this.domid : undefined;
  }
}
