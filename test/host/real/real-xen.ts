// SPDX-License-Identifier: LGPL-2.1-or-later
import type { VsndCard } from '../../lib/toolstack.js';
import { XenstoreClient } from '../../lib/xenstore-client.js';
import { DOM0, type Counts, type Domain, type Xen } from '../xen.js';
import { dom0Held, guestHeld } from './held.js';
import { SshMachine } from './ssh-machine.js';
import { vsndArguments } from './vsnd-arguments.js';
import { bootGuest, xl } from './xl.js';

const XENSTORED_SOCKET = '/run/xenstored/socket';
/** How many guests the lab's dom0 has configurations for. */
const GUESTS_MAX = 8;

interface RealDomain extends Domain {
  readonly machine: SshMachine;
}

/**
 * The Xen whose dom0 the tests run in: that of scripts/xen-lab, or any with its guests `guest1` to `guest8`
 * (docs/xen-lab.md). A guest that runs already is used as it is, and left running.
 */
export class RealXen implements Xen {
  readonly dom0Env: NodeJS.ProcessEnv = {};
  readonly backendDomid = 0;
  readonly backendEnv = this.dom0Env;
  private connection: XenstoreClient | undefined;
  private readonly domains = new Map<string, RealDomain>();

  /** @param dir the host's folder, which is the same in the guests */
  constructor(private readonly dir: string) {}

  get store(): XenstoreClient {
    if (this.connection === undefined) {
      throw new Error('not connected to xenstore');
    }
    return this.connection;
  }

  async start(): Promise<void> {
    this.connection = await XenstoreClient.open(XENSTORED_SOCKET);
  }

  /** Takes what is ours out of the guests; they run on. */
  async releaseDomains(): Promise<void> {
    for (const domain of this.domains.values()) {
      for (const devid of await this.cardsOf(domain)) {
        await this.removeCard(domain, devid);
      }
      await domain.machine.removeFolder(this.dir);
      await xl('rename', String(domain.domid), domain.key);
    }
    this.domains.clear();
  }

  async stop(): Promise<void> {
    this.connection?.close();
    this.connection = undefined;
    return Promise.resolve();
  }

  async createDomain(name?: string): Promise<Domain> {
    const key = this.freeKey();
    const domid = await bootGuest(key);
    if (name !== undefined) {
      await xl('rename', String(domid), name);
    }
    const vm = await this.store.read(`/local/domain/${domid}/vm`);
    const domain: RealDomain = {
      key,
      domid,
      uuid: vm.replace('/vm/', ''),
      name: name ?? key,
      machine: new SshMachine(key),
      env: {},
    };
    this.domains.set(key, domain);
    return domain;
  }

  async destroyDomain(domain: Domain): Promise<void> {
    await xl('destroy', String(domain.domid));
    this.domains.delete(domain.key);
  }

  async addCard(domain: Domain, _devid: number, card: VsndCard): Promise<void> {
    await xl('vsnd-attach', String(domain.domid), ...vsndArguments(card));
  }

  async removeCard(domain: Domain, devid: number): Promise<void> {
    await xl('vsnd-detach', String(domain.domid), String(devid));
  }

  async counts(): Promise<Counts> {
    const domains: Counts['domains'] = { [DOM0]: await dom0Held() };
    let nodes = await this.nodesBelow('/local/domain/0/backend/vsnd');
    nodes += await this.nodesBelow('/local/domain/0/data/xen-audio');
    for (const { key, domid, machine } of this.domains.values()) {
      domains[key] = await guestHeld(machine);
      nodes += await this.nodesBelow(`/local/domain/${domid}/device/vsnd`);
    }
    return { domains, nodes };
  }

  private async nodesBelow(path: string): Promise<number> {
    const names = (await this.store.directory(path)) ?? [];
    let count = names.length;
    for (const name of names) {
      count += await this.nodesBelow(`${path}/${name}`);
    }
    return count;
  }

  private freeKey(): string {
    for (let number = 1; number <= GUESTS_MAX; number += 1) {
      const key = `guest${number}`;
      if (!this.domains.has(key)) {
        return key;
      }
    }
    throw new Error(`all ${GUESTS_MAX} guests of this dom0 are in use`);
  }

  private async cardsOf({ domid }: Domain): Promise<number[]> {
    return ((await this.store.directory(`/local/domain/0/backend/vsnd/${domid}`)) ?? []).map(Number);
  }
}
