// SPDX-License-Identifier: LGPL-2.1-or-later
/** The nodes of a domain as libxl writes them when it makes the domain, and takes them away. */
import { put, removeIfPresent, removeOwnedBy, type Change } from './xenstore/operations.js';
import { domainPath } from './xenstore/paths.js';
import { ownedBy, readableBy } from './xenstore/permissions.js';
import type { StoreView } from './xenstore/store.js';

export interface DomainIdentity {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
}

/** Writes a domain's directories. The guest may read them, and write only where xl lets it. */
export function layOut(view: StoreView, { domid, name, uuid }: DomainIdentity): Change[] {
  const home = domainPath(domid);
  const vm = `/vm/${uuid}`;
  const toRead = readableBy(0, domid);
  const own = ownedBy(domid);
  const forToolstack = ownedBy(0);
  return [
    put(view, home, '', toRead),
    put(view, vm, '', toRead),
    put(view, `${vm}/uuid`, uuid, toRead),
    put(view, `${vm}/name`, name, toRead),
    put(view, `${home}/name`, name, toRead),
    put(view, `${home}/domid`, String(domid), toRead),
    put(view, `${home}/vm`, vm, toRead),
    put(view, `${home}/device`, '', toRead),
    put(view, `${home}/control`, '', toRead),
    put(view, `${home}/control/shutdown`, '', own),
    put(view, `${home}/data`, '', own),
    put(view, `/libxl/${domid}`, '', forToolstack),
    put(view, `/libxl/${domid}/device`, '', forToolstack),
  ].flat();
}

/** Removes a domain's directories, and whatever else it owns. */
export function clear(view: StoreView, { domid, uuid }: DomainIdentity): Change[] {
  return [
    removeIfPresent(view, domainPath(domid)),
    removeIfPresent(view, `/vm/${uuid}`),
    removeIfPresent(view, `/libxl/${domid}`),
    removeOwnedBy(view, domid),
  ].flat();
}
