// SPDX-License-Identifier: LGPL-2.1-or-later

/** Numbers that a seed repeats: a linear congruential generator (Numerical Recipes), its high bits. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `limit`, at most 65536. */
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return (this.#state >>> 16) % limit;
  }
}
