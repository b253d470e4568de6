// SPDX-License-Identifier: LGPL-2.1-or-later
/** The life of domains: what `xl create`, `xl destroy`, a resume under another domid and `xl migrate` do. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Faults } from './faults.js';
import { PortTable } from './hypervisor/event-channels.js';
import { GrantTable } from './hypervisor/grants.js';
import { Handle, type Machine } from './hypervisor/handles.js';
import { listenForHandles } from './hypervisor/rpc.js';
import { PageFile, SlotTable } from './hypervisor/tables.js';
import * as layout from './layout.js';
import { DomainError, XenHost, type Domain } from './xen-host.js';

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

export interface DomainsOptions {
  /** The emulator's directory, which exists. */
  readonly directory: string;
  /** Where the stand-in libraries have been built. */
  readonly standInsDirectory: string;
  readonly log: (text: string) => void;
}

/** Of dom0s. */
const DOM0_UUID = '00000000-0000-0000-0000-000000000000';

export class Domains implements Machine {
  readonly directory: string;
  readonly pages: PageFile;
  readonly #slots: SlotTable;
  /** By the key of their dom0. */
  readonly #hosts = new Map<string, XenHost>();
  readonly #domains = new Map<string, Domain>();
  readonly #handles = new Set<Handle>();
  #lastHandleId = 0;

  constructor(private readonly options: DomainsOptions) {
    this.directory = options.directory;
    fs.mkdirSync(path.join(this.directory, 'handles'));
    this.pages = new PageFile(path.join(this.directory, 'memory'));
    this.#slots = new SlotTable(path.join(this.directory, 'event-channels'));
  }

  /** Makes a host, with a dom0 of that key. @throws DomainError */
  async createHost(key: string): Promise<void> {
    this.#checkKeyFree(key);
    this.#hosts.set(key, new XenHost(this.options.log));
    await this.create(key, key, 0, 'Domain-0', DOM0_UUID);
  }

  /**
   * Makes a domain with its sockets, as `xl create` does, and introduces it.
   *
   * @param hostKey that of the host's dom0
   * @throws DomainError
   */
  async create(hostKey: string, key: string, domid: number, name: string, uuid: string): Promise<void> {
    this.#checkKeyFree(key);
    const host = this.#findHost(hostKey);
    host.checkDomidFree(domid);
    const domain: Domain = {
      key,
      name,
      uuid,
      domid,
      targetDomid: undefined,
      isIntroduced: true,
      isDestroyed: false,
      staleCloses: 0,
      faults: new Faults(),
      ports: new PortTable(domid, this.#slots),
      grants: new GrantTable(domid),
      host,
      servers: [],
    };
    await this.#openSockets(domain);
    this.#domains.set(key, domain);
    host.domains.add(domain);
    host.xenstore.fire(layout.layOut(host.xenstore.store, domain));
    host.xenstore.fireSpecial('@introduceDomain');
  }

  /** Ends a domain with everything it holds, as `xl destroy` does after it has removed the devices. @throws DomainError */
  destroy(key: string): void {
    const domain = this.#find(key);
    if (domain.domid === 0) throw new DomainError('dom0 cannot be destroyed; stop the emulator instead');
    const { xenstore } = domain.host;
    this.#domains.delete(key);
    domain.host.domains.delete(domain);
    domain.isDestroyed = true;
    this.#endTables(domain);
    for (const handle of this.#handlesOf(domain)) handle.dropMappings();
    xenstore.disconnect(domain);
    closeServers(domain);
    xenstore.fire(layout.clear(xenstore.store, domain));
    xenstore.fireSpecial('@releaseDomain');
    fs.rmSync(path.join(this.directory, 'domains', key), { recursive: true, force: true });
  }

  /**
   * Gives a domain another domid, as a resume does.
   *
   * @param hostKey where it goes on; default: where it is
   * @throws DomainError
   */
  changeDomid(key: string, domid: number, hostKey?: string): void {
    const domain = this.#find(key);
    const from = domain.host;
    const to = hostKey === undefined ? from : this.#findHost(hostKey);
    if (domain.domid === 0) throw new DomainError('dom0 keeps its domid');
    if (domid !== domain.domid || to !== from) to.checkDomidFree(domid);
    this.#endTables(domain);
    from.xenstore.fire(layout.clear(from.xenstore.store, domain), domain);
    domain.domid = domid;
    domain.ports = new PortTable(domid, this.#slots);
    domain.grants = new GrantTable(domid);
    if (to !== from) from.handOver(domain, to);
    to.xenstore.fire(layout.layOut(to.xenstore.store, domain), domain);
    to.xenstore.resume(domain);
    to.xenstore.fireSpecial('@introduceDomain');
    from.xenstore.fireSpecial('@releaseDomain');
  }

  /** What each domain of a host holds, by key, and how many nodes its xenstore has. @throws DomainError */
  counts(hostKey: string): { domains: Record<string, DomainCounts>; nodes: number } {
    const { domains, xenstore } = this.#findHost(hostKey);
    return {
      domains: Object.fromEntries([...domains].map((domain) => [domain.key, this.#countsOf(domain)])),
      nodes: xenstore.store.countNodes(),
    };
  }

  dumpPorts(key: string): object[] {
    return this.#find(key).ports.dump();
  }

  dumpGrants(key: string): object[] {
    return this.#find(key).grants.dump();
  }

  /** What is ordered to fail. @throws DomainError */
  faultsOf(key: string): Faults {
    return this.#find(key).faults;
  }

  /** The next event to, or from, each port of a domain does not arrive. @throws DomainError */
  loseEvents(key: string, way: 'to' | 'from'): void {
    this.#find(key).ports.loseEvents(way);
  }

  close(): void {
    for (const domain of this.#domains.values()) {
      domain.host.xenstore.disconnect(domain);
      closeServers(domain);
    }
    this.pages.close();
    this.#slots.close();
  }

  async #openSockets(domain: Domain): Promise<void> {
    const directory = path.join(this.directory, 'domains', domain.key);
    const xenstorePath = path.join(directory, 'xenstored.sock');
    const hypervisorPath = path.join(directory, 'hypervisor.sock');
    if (Buffer.byteLength(hypervisorPath) > SOCKET_PATH_MAX_BYTES) {
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
    const accept = (socket: net.Socket): void => {
      domain.host.xenstore.accept(socket, domain);
    };
    domain.servers.push(await listen(net.createServer(accept), xenstorePath));
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
    return {
      ports: ports.size,
      grants: grants.size,
      mapped,
      ...domain.host.xenstore.counts(domain),
      staleCloses,
    };
  }

  #find(key: string): Domain {
    const domain = this.#domains.get(key);
    if (domain !== undefined) return domain;
    throw new DomainError(
      `there is no domain with the key '${key}'; there are: ${[...this.#domains.keys()].join(', ')}`,
    );
  }

  #findHost(key: string): XenHost {
    const host = this.#hosts.get(key);
    if (host !== undefined) return host;
    throw new DomainError(`there is no host '${key}'; there are: ${[...this.#hosts.keys()].join(', ')}`);
  }

  #checkKeyFree(key: string): void {
    if (this.#domains.has(key)) throw new DomainError(`there is already a domain with the key '${key}'`);
  }
}

async function listen(server: net.Server, socketPath: string): Promise<net.Server> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  return server;
}

/** Stops listening. Handles stay connected until their processes let go: their pages must not be reused before. */
function closeServers({ servers }: Domain): void {
  for (const server of servers) server.close();
}
