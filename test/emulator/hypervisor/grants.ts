// SPDX-License-Identifier: LGPL-2.1-or-later
/** Grant tables: which page a domain has granted to whom, and who has it mapped. */
import { RpcError } from './rpc.js';

/** The references below are reserved for xenstore and the console. */
const FIRST_REF = 8;
/** The default of Linux's gntalloc, for a whole domain. */
const GRANTS_MAX = 1024;

export interface Grant {
  readonly ref: number;
  readonly page: number;
  readonly table: GrantTable;
  /** Who may map it. */
  readonly domid: number;
  readonly isWritable: boolean;
  /** It cannot be mapped any more; it is forgotten when the last mapping goes. */
  hasEnded: boolean;
  maps: number;
}

/** The grants of one domain, until it is destroyed or resumed. */
export class GrantTable {
  readonly #grants = new Map<number, Grant>();

  constructor(readonly domid: number) {}

  /** Those that have ended but are still mapped included. */
  get size(): number {
    return this.#grants.size;
  }

  /** @throws RpcError ENOSPC, as gntalloc's, when this and what is granted already would be more than 1024 pages */
  checkRoom(count: number): void {
    const live = [...this.#grants.values()].filter((grant) => !grant.hasEnded).length;
    if (live + count > GRANTS_MAX) {
      throw new RpcError('ENOSPC', `domain ${this.domid} may grant ${GRANTS_MAX} pages, ${live} are granted`);
    }
  }

  add(page: number, domid: number, isWritable: boolean): Grant {
    let ref = FIRST_REF;
    while (this.#grants.has(ref)) ref++;
    const grant: Grant = { ref, page, table: this, domid, isWritable, hasEnded: false, maps: 0 };
    this.#grants.set(ref, grant);
    return grant;
  }

  end(grant: Grant): void {
    grant.hasEnded = true;
    this.#forgetIfUnused(grant);
  }

  /** The domain is gone or resumed: nothing can be mapped any more, and the references mean nothing. */
  endAll(): void {
    for (const grant of this.#grants.values()) grant.hasEnded = true;
    this.#grants.clear();
  }

  /**
   * The grant that a domain may map with this access.
   * @throws RpcError EINVAL
   */
  check(ref: number, mapperDomid: number, isWrite: boolean): Grant {
    const grant = this.#grants.get(ref);
    if (grant === undefined || grant.hasEnded || grant.domid !== mapperDomid) {
      throw new RpcError(
        'EINVAL',
        `domain ${this.domid} has not granted reference ${ref} to domain ${mapperDomid}`,
      );
    }
    if (isWrite && !grant.isWritable) {
      throw new RpcError('EINVAL', `domain ${this.domid} granted reference ${ref} read-only`);
    }
    return grant;
  }

  unmap(grant: Grant): void {
    grant.maps -= 1;
    this.#forgetIfUnused(grant);
  }

  dump(): object[] {
    return [...this.#grants.values()].map(({ ref, page, domid, isWritable, hasEnded, maps }) => ({
      ref,
      page,
      domid,
      isWritable,
      hasEnded,
      maps,
    }));
  }

  #forgetIfUnused(grant: Grant): void {
    if (grant.hasEnded && grant.maps === 0 && this.#grants.get(grant.ref) === grant)
      this.#grants.delete(grant.ref);
  }
}
