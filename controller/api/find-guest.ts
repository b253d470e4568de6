// SPDX-License-Identifier: LGPL-2.1-or-later
import { quoted } from '../util/text.js';
import { ApiError } from './audio-api.js';

/** What a guest can be called by. */
export interface Named {
  readonly name: string;
  readonly uuid: string;
  readonly domid: number;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NUMBER = /^\d+$/;

/**
 * The one that a name, a UUID or a domain's number means. What has the form of a UUID or of a number is never a name: a
 * guest called like another one's UUID must not pass for it. Throws ApiError NoSuchGuest, AmbiguousGuest.
 */
export const findGuest = <G extends Named>(guests: readonly G[], text: string): G => {
  const found = guests.filter((guest) => {
    if (UUID.test(text)) return guest.uuid === text.toLowerCase();
    if (NUMBER.test(text)) return String(guest.domid) === text;
    return guest.name !== '' && guest.name === text;
  });
  const [one, ...others] = found;
  if (one === undefined) {
    const names = guests.map(({ name }) => name).join(', ');
    throw new ApiError(
      'NoSuchGuest',
      `${quoted(text)}: no such guest; ${names === '' ? 'there is none' : `there are ${names}`}`,
    );
  }
  if (others.length === 0) return one;
  const uuids = found.map(({ uuid, domid }) => (uuid === '' ? String(domid) : uuid)).join(', ');
  throw new ApiError(
    'AmbiguousGuest',
    `${quoted(text)}: ${found.length} guests have this name; say which: ${uuids}`,
  );
};
