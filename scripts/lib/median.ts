// SPDX-License-Identifier: LGPL-2.1-or-later

/** Null when there is none. */
export function medianOf(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;
}
