// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * One open handle of a stand-in library, as the kernel's file behind it: it owns ports, shared pages and mappings,
 * and frees them when it is closed or its process dies.
 */
import fs from 'node:fs';
import type { Fault, Faults } from '../faults.js';
import { fifoOf, notifyPeer, type Port, type PortTable } from './event-channels.js';
import type { Grant, GrantTable } from './grants.js';
import { Op, RpcError, type RpcTarget } from './rpc.js';
import { PAGE_BYTES, type PageFile } from './tables.js';

/** A domain as its handles see it. Tables and domid are replaced when it is resumed. */
export interface HandleDomain {
  domid: number;
  /** Where it runs, and knows other domains by their numbers. */
  readonly host: { find(domid: number): HandleDomain | undefined };
  ports: PortTable;
  grants: GrantTable;
  isDestroyed: boolean;
  /** How often a living process has closed a port from before a resume, on which Linux's driver would have crashed. */
  staleCloses: number;
  readonly faults: Faults;
}

/** What all handles share. */
export interface Machine {
  readonly directory: string;
  readonly pages: PageFile;
}

/** What happens when a page is unshared or unmapped. */
interface Notification {
  readonly clear: { readonly page: number; readonly offset: number } | undefined;
  readonly port: Port | undefined;
}

/** Pages that were shared or mapped in one call, and go in one. */
interface Region {
  readonly kind: 'shared' | 'mapped';
  readonly grants: readonly Grant[];
  readonly notification: Notification;
  /** A mapping of a destroyed domain: Xen has dropped it, only the process still has the pages. */
  isDropped: boolean;
}

const DOMID_SELF = 0x7ff0;
const NONE = 0xffffffff;

export class Handle implements RpcTarget {
  readonly #ports = new Map<number, Port>();
  readonly #regions = new Map<number, Region>();
  #lastRegionId = 0;
  #onlyDomid: number | undefined;
  #isReleased = false;

  constructor(
    readonly id: number,
    readonly domain: HandleDomain,
    private readonly machine: Machine,
    private readonly onRelease: (handle: Handle) => void,
  ) {}

  /** Pages that this handle has mapped, its own shared ones not counted. */
  get mappedPages(): number {
    const mapped = [...this.#regions.values()].filter(
      ({ kind, isDropped }) => kind === 'mapped' && !isDropped,
    );
    return mapped.reduce((total, { grants }) => total + grants.length, 0);
  }

  call(op: number, words: readonly number[]): number[] {
    if (op === Op.CLOSE) {
      for (const port of this.#ports.values()) this.#noteClose(port);
      this.release();
      return [];
    }
    if (this.domain.isDestroyed) throw new RpcError('ENODEV', 'the domain has been destroyed');
    const fault = FAULTS_OF_CALLS[op];
    if (fault !== undefined && this.domain.faults.strikes(fault)) {
      throw new RpcError('ENOMEM', `${fault} is ordered to fail`);
    }
    const act = CALLS[op];
    if (act === undefined) throw new RpcError('ENOSYS', `no call has the number ${op}`);
    return act(this, words);
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    for (const id of [...this.#regions.keys()]) this.#endRegion(id);
    for (const port of this.#ports.values()) port.table.release(port);
    this.#ports.clear();
    fs.rmSync(fifoOf(this.machine.directory, this.id), { force: true });
    this.onRelease(this);
  }

  /** The domain is being destroyed: Xen drops its mappings, though the process may still look at the pages. */
  dropMappings(): void {
    for (const region of this.#regions.values()) this.#dropMapping(region);
  }

  bindUnbound([remote = 0]: readonly number[]): number[] {
    this.#checkRestriction(remote);
    return this.#own(this.domain.ports.bindUnbound(this.id, this.#resolve(remote)));
  }

  bindInterdomain([remote = 0, number = 0]: readonly number[]): number[] {
    this.#checkRestriction(remote);
    const domid = this.#resolve(remote);
    const domain = this.domain.host.find(domid);
    if (domain === undefined) throw new RpcError('ESRCH', `there is no domain ${domid}`);
    return this.#own(this.domain.ports.bindInterdomain(this.id, domain.ports, number));
  }

  unbind([number = 0]: readonly number[]): number[] {
    const port = this.#ports.get(number);
    if (port === undefined) throw new RpcError('ENOTCONN', `port ${number} is not of this handle`);
    this.#noteClose(port);
    this.#ports.delete(number);
    port.table.release(port);
    return [];
  }

  restrict([domid = 0]: readonly number[]): number[] {
    if (this.#onlyDomid !== undefined) throw new RpcError('EACCES', 'the handle is restricted already');
    this.#onlyDomid = domid;
    return [];
  }

  share([domid = 0, count = 0, writable = 0, offset = NONE, port = NONE]: readonly number[]): number[] {
    if (count === 0) throw new RpcError('EINVAL', 'no page to share');
    const { grants } = this.domain;
    grants.checkRoom(count);
    const notifyPort = this.#findPort(port);
    const pages = this.machine.pages.allocate(count);
    const entries = pages.map((page) => grants.add(page, this.#resolve(domid), writable !== 0));
    const id = this.#addRegion('shared', entries, offset, notifyPort);
    return [id, ...entries.flatMap(({ ref, page }) => [ref, page])];
  }

  map([writable = 0, offset = NONE, port = NONE, ...pairs]: readonly number[]): number[] {
    if (pairs.length === 0) throw new RpcError('EINVAL', 'no reference to map');
    const grants: Grant[] = [];
    for (let index = 0; index + 1 < pairs.length; index += 2) {
      const [domid = 0, ref = 0] = pairs.slice(index, index + 2);
      const granter = this.domain.host.find(this.#resolve(domid));
      if (granter === undefined) throw new RpcError('EINVAL', `there is no domain ${domid}`);
      grants.push(granter.grants.check(ref, this.domain.domid, writable !== 0));
    }
    const notifyPort = this.#findPort(port);
    for (const grant of grants) {
      grant.maps += 1;
      this.machine.pages.hold(grant.page);
    }
    return [this.#addRegion('mapped', grants, offset, notifyPort), ...grants.map(({ page }) => page)];
  }

  endRegion(kind: Region['kind'], id = 0): number[] {
    if (this.#regions.get(id)?.kind !== kind) throw new RpcError('EINVAL', `nothing is ${kind} as ${id}`);
    this.#endRegion(id);
    return [];
  }

  #noteClose(port: Port): void {
    if (port.isStale && !this.domain.isDestroyed) this.domain.staleCloses += 1;
  }

  #own(port: Port): number[] {
    if (this.#ports.has(port.number)) {
      // The handle still has a port of that number from before a resume. Linux keeps such handles by number, too.
      port.table.release(port);
      throw new RpcError('EEXIST', `a dead port ${port.number} is open on this handle; open a new handle`);
    }
    this.#ports.set(port.number, port);
    return [port.number, port.slot];
  }

  #addRegion(kind: Region['kind'], grants: readonly Grant[], offset: number, port: Port | undefined): number {
    const grant = grants[Math.floor(offset / PAGE_BYTES)];
    const clear = grant === undefined ? undefined : { page: grant.page, offset: offset % PAGE_BYTES };
    if (port !== undefined) port.holders += 1;
    this.#lastRegionId += 1;
    this.#regions.set(this.#lastRegionId, { kind, grants, notification: { clear, port }, isDropped: false });
    return this.#lastRegionId;
  }

  #endRegion(id: number): void {
    const region = this.#regions.get(id);
    if (region === undefined) return;
    this.#regions.delete(id);
    if (!region.isDropped) this.#notify(region.notification);
    const { port } = region.notification;
    if (port !== undefined) port.table.release(port);
    if (region.kind === 'shared') for (const grant of region.grants) grant.table.end(grant);
    else this.#dropMapping(region);
    for (const { page } of region.grants) this.machine.pages.drop(page);
  }

  #dropMapping(region: Region): void {
    if (region.kind !== 'mapped' || region.isDropped) return;
    region.isDropped = true;
    for (const grant of region.grants) grant.table.unmap(grant);
  }

  #notify({ clear, port }: Notification): void {
    if (clear !== undefined) this.machine.pages.clearByte(clear.page, clear.offset);
    if (port !== undefined) notifyPeer(this.machine.directory, port);
  }

  #findPort(number: number): Port | undefined {
    if (number === NONE) return undefined;
    const port = this.domain.ports.get(number);
    if (port === undefined) throw new RpcError('EINVAL', `port ${number}, to be notified, is not bound`);
    return port;
  }

  #resolve(domid: number): number {
    return domid === DOMID_SELF ? this.domain.domid : domid;
  }

  #checkRestriction(domid: number): void {
    if (this.#onlyDomid !== undefined && domid !== this.#onlyDomid) {
      throw new RpcError('EACCES', `the handle is restricted to domain ${this.#onlyDomid}`);
    }
  }
}

const FAULTS_OF_CALLS: Readonly<Record<number, Fault>> = {
  [Op.BIND_UNBOUND]: 'bind',
  [Op.BIND_INTERDOMAIN]: 'bind',
  [Op.SHARE]: 'share',
  [Op.MAP]: 'map',
};

const CALLS: Readonly<Record<number, (handle: Handle, words: readonly number[]) => number[]>> = {
  [Op.OPEN]: (handle) => [handle.id],
  [Op.BIND_UNBOUND]: (handle, words) => handle.bindUnbound(words),
  [Op.BIND_INTERDOMAIN]: (handle, words) => handle.bindInterdomain(words),
  [Op.UNBIND]: (handle, words) => handle.unbind(words),
  [Op.RESTRICT]: (handle, words) => handle.restrict(words),
  [Op.SHARE]: (handle, words) => handle.share(words),
  [Op.UNSHARE]: (handle, [id]) => handle.endRegion('shared', id),
  [Op.MAP]: (handle, words) => handle.map(words),
  [Op.UNMAP]: (handle, [id]) => handle.endRegion('mapped', id),
};
