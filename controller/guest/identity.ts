// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestIdentity } from '../policy/match.js';
import { displayName } from '../util/text.js';
import { guestPath } from '../xenbus/paths.js';
import type { XenstoreReader } from '../device/ports.js';
import { readIfAllowed } from '../device/read-if-allowed.js';

/** What `xl migrate` adds to the name where a guest arrives, until it runs, and where it has left. */
const MIGRATING = /--(?:incoming|migratedaway)$/;

/** A guest as the toolstack wrote it: nothing here can be written by the guest. */
export interface Guest extends GuestIdentity {
  /** Made fit for display. */
  readonly name: string;
}

/** In a driver domain that dom0 does not let read names, a guest is its domid alone. */
export const readGuest = async (reader: XenstoreReader, domid: number): Promise<Guest> => {
  const xenName = ((await readIfAllowed(reader, `${guestPath(domid)}/name`)) ?? '').replace(MIGRATING, '');
  const name = displayName(xenName);
  const vm = (await readIfAllowed(reader, `${guestPath(domid)}/vm`)) ?? '';
  return {
    name: name === '' ? `domain ${domid}` : name,
    xenName,
    uuid: /^\/vm\/([0-9a-fA-F-]{36})/.exec(vm)?.[1]?.toLowerCase() ?? '',
  };
};
