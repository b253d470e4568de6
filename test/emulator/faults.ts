// SPDX-License-Identifier: LGPL-2.1-or-later
/** Calls of a domain that fail although nothing is wrong with them, as a test has ordered. */

/** `map`, `share` and `bind` of the hypervisor's; a `write` to xenstore. */
export const FAULTS = ['map', 'share', 'bind', 'write'] as const;
export type Fault = (typeof FAULTS)[number];

interface Order {
  /** So many such calls succeed before. */
  after: number;
  /** So many fail then. */
  times: number;
}

export class Faults {
  readonly #orders = new Map<Fault, Order>();

  /** Replaces what was ordered of such calls before. */
  order(fault: Fault, after: number, times: number): void {
    if (times > 0) this.#orders.set(fault, { after, times });
    else this.#orders.delete(fault);
  }

  /** How many calls are still to fail. */
  get left(): number {
    return [...this.#orders.values()].reduce((sum, { times }) => sum + times, 0);
  }

  /** Such a call is made: whether it is to fail. */
  strikes(fault: Fault): boolean {
    const order = this.#orders.get(fault);
    if (order === undefined) return false;
    if (order.after > 0) {
      order.after -= 1;
      return false;
    }
    order.times -= 1;
    if (order.times === 0) this.#orders.delete(fault);
    return true;
  }
}
