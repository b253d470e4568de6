// SPDX-License-Identifier: LGPL-2.1-or-later
/** The life of domains: what `xl create`, `xl destroy` and a resume under another domid do. */
import fs from 'node:fs';
import type net from 'node:net';
import path from 'node:path';
import { PortTable } from './hypervisor/event-channels.js';
import { GrantTable } from './hypervisor/grants.js';
import { Handle, type HandleDomain, type Machine } from './hypervisor/handles.js';
import { listenForHandles } from './hypervisor/rpc.js';
import { PageFile, SlotTable } from './hypervisor/tables.js';
import * as layout from './layout.js';
import type { Caller } from './xenstore/permissions.js';
import type { DomainDirectory } from './xenstore/requests.js';
import { XenstoreServer } from './xenstore/server.js';
import { StoreError } from './xenstore/wire.js';

/** Libraries whose stand-ins each domain gets in its `lib` directory. */
export const STAND_INS = ['libxengnttab.so.1', 'libxenevtchn.so.1'] as const;

/** The longest path a Unix socket can have on Linux, without the final NUL. */
const SOCKET_PATH_MAX_BYTES = 107;

/** What a domain holds, for tests that look for leaks. */
export interface DomainCounts {
  ports: number;
  grants: number;
  mapped: number;
  watches: number;
  transactions: number;
  connections: number;
  /** See `HandleDomain`. */
  staleCloses: number;
}

/** An order that cannot be carried out; the message says why. */
export class DomainError extends Error {
  override name = 'DomainError';
}

interface Domain extends Caller, HandleDomain {
  readonly key: string;
  readonly name: string;
  readonly uuid: string;
  domid: number;
  targetDomid: number | undefined;
  isIntroduced: boolean;
  readonly servers: net.Server[];
}

export interface DomainsOptions {
  /** The emulator's directory, which exists. */
  readonly directory: string;
  /** Where the stand-in libraries have been built. */
  readonly standInsDirectory: string;
  readonly log: (text: string) => void;
}

export class Domains implements DomainDirectory, Machine {
  readonly xenstore: XenstoreServer;
  readonly directory: string;
  readonly pages: PageFile;
  readonly #slots: SlotTable;
  readonly #domains = new Map<string, Domain>();
  readonly #handles = new Set<Handle>();
  #lastHandleId = 0;

  constructor(private readonly options: DomainsOptions) {
    this.directory = options.directory;
    fs.mkdirSync(path.join(this.directory, 'handles'));
    this.pages = new PageFile(path.join(this.directory, 'memory'));
    this.#slots = new SlotTable(path.join(this.directory, 'event-channels'));
    this.xenstore = new XenstoreServer(this, options.log);
  }

  /** Makes a domain with its sockets, as `xl create` does, and introduces it. @throws DomainError */
  async create(key: string, domid: number, name: string, uuid: string): Promise<void> {
    if (this.#domains.has(key)) throw new DomainError(`there is already a domain with the key '${key}'`);
    this.#checkDomidFree(domid);
    const domain: Domain = {
      key,
      name,
      uuid,
      domid,
      targetDomid: undefined,
      isIntroduced: true,
      isDestroyed: false,
      staleCloses: 0,
      ports: new PortTable(domid, this.#slots),
      grants: new GrantTable(domid),
      servers: [],
    };
    this.#domains.set(key, domain);
    await this.#openSockets(domain);
    this.xenstore.fire(layout.layOut(this.xenstore.store, domain));
    this.xenstore.fireSpecial('@introduceDomain');
  }

  /** Ends a domain with everything it holds, as `xl destroy` does after it has removed the devices. @throws DomainError */
  destroy(key: string): void {
    const domain = this.#find(key);
    if (domain.domid === 0) throw new DomainError('dom0 cannot be destroyed; stop the emulator instead');
    this.#domains.delete(key);
    domain.isDestroyed = true;
    this.#endTables(domain);
    for (const handle of this.#handlesOf(domain)) handle.dropMappings();
    this.xenstore.disconnect(domain);
    closeServers(domain);
    this.xenstore.fire(layout.clear(this.xenstore.store, domain));
    this.xenstore.fireSpecial('@releaseDomain');
    fs.rmSync(path.join(this.directory, 'domains', key), { recursive: true, force: true });
  }

  /** Gives a domain another domid, as a resume on this or another host does. @throws DomainError */
  changeDomid(key: string, domid: number): void {
    const domain = this.#find(key);
    if (domain.domid === 0) throw new DomainError('dom0 keeps its domid');
    if (domid !== domain.domid) this.#checkDomidFree(domid);
    this.#endTables(domain);
    const removed = layout.clear(this.xenstore.store, domain);
    domain.domid = domid;
    domain.ports = new PortTable(domid, this.#slots);
    domain.grants = new GrantTable(domid);
    this.xenstore.fire([...removed, ...layout.layOut(this.xenstore.store, domain)], domain);
    this.xenstore.resume(domain);
    this.xenstore.fireSpecial('@introduceDomain');
    this.xenstore.fireSpecial('@releaseDomain');
  }

  /** What each domain holds, by key. */
  counts(): Record<string, DomainCounts> {
    return Object.fromEntries(
      [...this.#domains.values()].map((domain) => [domain.key, this.#countsOf(domain)]),
    );
  }

  dumpPorts(key: string): object[] {
    return this.#find(key).ports.dump();
  }

  dumpGrants(key: string): object[] {
    return this.#find(key).grants.dump();
  }

  close(): void {
    for (const domain of this.#domains.values()) {
      this.xenstore.disconnect(domain);
      closeServers(domain);
    }
    this.pages.close();
    this.#slots.close();
  }

  findDomain(domid: number): Domain | undefined {
    return [...this.#domains.values()].find((domain) => domain.domid === domid);
  }

  isIntroduced(domid: number): boolean {
    return this.findDomain(domid)?.isIntroduced ?? false;
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

  async #openSockets(domain: Domain): Promise<void> {
    const directory = path.join(this.directory, 'domains', domain.key);
    const xenstorePath = path.join(directory, 'xenstored.sock');
    const hypervisorPath = path.join(directory, 'hypervisor.sock');
    if (Buffer.byteLength(hypervisorPath) > SOCKET_PATH_MAX_BYTES) {
      this.#domains.delete(domain.key);
      throw new DomainError(`${hypervisorPath} is too long for a socket; give --dir a shorter path`);
    }
    fs.mkdirSync(path.join(directory, 'lib'), { recursive: true });
    for (const library of STAND_INS) {
      fs.symlinkSync(
        path.join(this.options.standInsDirectory, library),
        path.join(directory, 'lib', library),
      );
    }
    domain.servers.push(await listenForHandles(hypervisorPath, () => this.#openHandle(domain)));
    domain.servers.push(await this.xenstore.listen(domain, xenstorePath));
  }

  #openHandle(domain: Domain): Handle {
    this.#lastHandleId += 1;
    const handle = new Handle(this.#lastHandleId, domain, this, (closed) => this.#handles.delete(closed));
    this.#handles.add(handle);
    return handle;
  }

  #endTables(domain: Domain): void {
    domain.ports.endAll();
    domain.grants.endAll();
  }

  #handlesOf(domain: Domain): Handle[] {
    return [...this.#handles].filter((handle) => handle.domain === domain);
  }

  #countsOf(domain: Domain): DomainCounts {
    const mapped = this.#handlesOf(domain).reduce((total, handle) => total + handle.mappedPages, 0);
    const { ports, grants, staleCloses } = domain;
    return { ports: ports.size, grants: grants.size, mapped, ...this.xenstore.counts(domain), staleCloses };
  }

  #find(key: string): Domain {
    const domain = this.#domains.get(key);
    if (domain !== undefined) return domain;
    throw new DomainError(
      `there is no domain with the key '${key}'; there are: ${[...this.#domains.keys()].join(', ')}`,
    );
  }

  #findForStore(domid: number): Domain {
    const domain = this.findDomain(domid);
    if (domain === undefined) throw new StoreError('EINVAL', `there is no domain ${domid}`);
    return domain;
  }

  #checkDomidFree(domid: number): void {
    const other = this.findDomain(domid);
    if (other !== undefined) throw new DomainError(`domid ${domid} is in use by '${other.key}'`);
  }
}

/** Stops listening. Handles stay connected until their processes let go: their pages must not be reused before. */
function closeServers({ servers }: Domain): void {
  for (const server of servers) server.close();
}
