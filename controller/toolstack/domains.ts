// SPDX-License-Identifier: LGPL-2.1-or-later
import { DomId } from '../../schemas/primitives.js';
import { readGuest } from '../guest/identity.js';
import type { XenstorePort, XenstoreReader } from '../device/ports.js';
import { backendRoot } from '../xenbus/paths.js';
import { libxlRoot } from './cards.js';

/** A running domain, as the toolstack named it. */
export interface RunningDomain {
  readonly domid: number;
  /** Empty when it has none. */
  readonly name: string;
  /** In lower case; empty when the toolstack wrote none. */
  readonly uuid: string;
}

const DOMAINS_ROOT = '/local/domain';

/** All running domains but this one, with a card or without. Throws XenAudioError of the port. */
export const listDomains = async (xenstore: XenstorePort, ownDomid: number): Promise<RunningDomain[]> => {
  const domains: RunningDomain[] = [];
  for (const text of (await xenstore.list(DOMAINS_ROOT)) ?? []) {
    const domid = DomId.safeParse(text);
    if (!domid.success || domid.data === ownDomid) continue;
    if (!(await xenstore.isDomainIntroduced(domid.data))) continue;
    const { xenName, uuid } = await readGuest(xenstore, domid.data);
    domains.push({ domid: domid.data, name: xenName, uuid });
  }
  return domains;
};

/** Names of a domain's cards, of whichever backend; what only our backend knows of counts too. */
export const readCards = async (
  reader: XenstoreReader,
  ownDomid: number,
  domid: number,
): Promise<string[]> => {
  const roots = [libxlRoot(domid), `${backendRoot(ownDomid)}/${domid}`];
  const found: string[] = [];
  for (const root of roots) found.push(...((await reader.list(root)) ?? []));
  return [...new Set(found)];
};
