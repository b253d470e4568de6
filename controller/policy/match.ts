// SPDX-License-Identifier: LGPL-2.1-or-later

/** What tells guests apart: written by the toolstack, out of the guest's reach. */
export interface GuestIdentity {
  /** UUID of the VM in lower case; empty when the toolstack wrote none. */
  readonly uuid: string;
  /** Its name, unchanged; empty when it has none. */
  readonly xenName: string;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Whether an entry of the policy means a guest. What has the form of a UUID is compared with UUIDs alone, so that a guest named
 * like another one's UUID does not pass for it; a guest without a name matches no name and no pattern.
 */
export const matchesGuest = (entry: string, { uuid, xenName }: GuestIdentity): boolean => {
  if (UUID.test(entry)) return entry.toLowerCase() === uuid;
  if (xenName === '') return false;
  return /[*?]/.test(entry) ? matchesPattern(entry, xenName) : entry === xenName;
};

/** `*` is anything, `?` one character. Without backtracking over more than the last star: a name is the guest's neighbour's choice. */
const matchesPattern = (pattern: string, name: string): boolean => {
  const [want, have] = [Array.from(pattern), Array.from(name)];
  let [at, star, retry] = [0, -1, 0];
  let position = 0;
  while (position < have.length) {
    if (want[at] === '*') {
      star = at;
      at += 1;
      retry = position;
    } else if (at < want.length && (want[at] === '?' || want[at] === have[position])) {
      at += 1;
      position += 1;
    } else if (star >= 0) {
      at = star + 1;
      retry += 1;
      position = retry;
    } else return false;
  }
  return want.slice(at).every((rest) => rest === '*');
};
