// SPDX-License-Identifier: LGPL-2.1-or-later
/** One host: domains that number each other, and their xenstore. */
import type { HandleDomain } from './hypervisor/handles.js';
import type { Faults } from './faults.js';
import type net from 'node:net';
import type { Caller } from './xenstore/permissions.js';
import type { DomainDirectory } from './xenstore/requests.js';
import { XenstoreServer } from './xenstore/server.js';
import { StoreError } from './xenstore/wire.js';

/** An order that cannot be carried out; the message says why. */
export class DomainError extends Error {
  override name = 'DomainError';
}

export interface Domain extends Caller, HandleDomain {
  readonly key: string;
  readonly name: string;
  readonly uuid: string;
  domid: number;
  targetDomid: number | undefined;
  isIntroduced: boolean;
  readonly faults: Faults;
  /** Another after a migration. */
  host: XenHost;
  readonly servers: net.Server[];
}

export class XenHost implements DomainDirectory {
  readonly domains = new Set<Domain>();
  readonly xenstore: XenstoreServer;

  constructor(log: (text: string) => void) {
    this.xenstore = new XenstoreServer(this, log);
  }

  find(domid: number): Domain | undefined {
    return [...this.domains].find((domain) => domain.domid === domid);
  }

  /** @throws DomainError */
  checkDomidFree(domid: number): void {
    const other = this.find(domid);
    if (other !== undefined) throw new DomainError(`domid ${domid} is in use by '${other.key}'`);
  }

  /** A domain goes on at another host, with its connections to xenstore. */
  handOver(domain: Domain, to: XenHost): void {
    this.domains.delete(domain);
    to.domains.add(domain);
    domain.host = to;
    this.xenstore.handOver(domain, to.xenstore);
  }

  isIntroduced(domid: number): boolean {
    return this.find(domid)?.isIntroduced ?? false;
  }

  introduce(domid: number): void {
    const domain = this.#findForStore(domid);
    if (domain.isIntroduced) return;
    domain.isIntroduced = true;
    this.xenstore.fireSpecial('@introduceDomain');
  }

  release(domid: number): void {
    this.#findForStore(domid).isIntroduced = false;
    this.xenstore.fireSpecial('@releaseDomain');
  }

  setTarget(domid: number, targetDomid: number): void {
    this.#findForStore(targetDomid);
    this.#findForStore(domid).targetDomid = targetDomid;
  }

  #findForStore(domid: number): Domain {
    const domain = this.find(domid);
    if (domain === undefined) throw new StoreError('EINVAL', `there is no domain ${domid}`);
    return domain;
  }
}
