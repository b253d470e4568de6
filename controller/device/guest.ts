// SPDX-License-Identifier: LGPL-2.1-or-later
import { displayName } from '../util/text.js';
import { guestPath } from '../xenbus/paths.js';
import type { XenstoreReader } from './ports.js';

/** A guest as the toolstack wrote it: nothing here can be written by the guest. */
export interface Guest {
  /** Made fit for display. */
  readonly name: string;
  /** UUID of the VM; empty when the toolstack wrote none. */
  readonly uuid: string;
}

export const readGuest = async (reader: XenstoreReader, domid: number): Promise<Guest> => {
  const name = displayName((await reader.read(`${guestPath(domid)}/name`)) ?? '');
  const vm = (await reader.read(`${guestPath(domid)}/vm`)) ?? '';
  return {
    name: name === '' ? `domain ${domid}` : name,
    uuid: /^\/vm\/([0-9a-fA-F-]{36})/.exec(vm)?.[1]?.toLowerCase() ?? '',
  };
};
