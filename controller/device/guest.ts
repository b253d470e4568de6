// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestIdentity } from '../policy/capture.js';
import { displayName } from '../util/text.js';
import { guestPath } from '../xenbus/paths.js';
import type { XenstoreReader } from './ports.js';

/** A guest as the toolstack wrote it: nothing here can be written by the guest. */
export interface Guest extends GuestIdentity {
  /** Made fit for display. */
  readonly name: string;
}

export const readGuest = async (reader: XenstoreReader, domid: number): Promise<Guest> => {
  const xenName = (await reader.read(`${guestPath(domid)}/name`)) ?? '';
  const name = displayName(xenName);
  const vm = (await reader.read(`${guestPath(domid)}/vm`)) ?? '';
  return {
    name: name === '' ? `domain ${domid}` : name,
    xenName,
    uuid: /^\/vm\/([0-9a-fA-F-]{36})/.exec(vm)?.[1]?.toLowerCase() ?? '',
  };
};
