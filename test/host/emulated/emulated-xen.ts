// SPDX-License-Identifier: LGPL-2.1-or-later
import { randomUUID } from 'node:crypto';

import { DOM0, Emulator } from '../../emulator/client.js';
import { Toolstack, type VsndCard } from '../../lib/toolstack.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';
import { thisMachine } from '../machine.js';
import type { Counts, Domain, Xen } from '../xen.js';

interface Running {
  emulator: Emulator;
  store: XenstoreClient;
  toolstack: Toolstack;
}

/** The emulated Xen of a host: all its domains are programs of this machine. */
export class EmulatedXen implements Xen {
  private running: Running | undefined;
  private emulator: Emulator | undefined;
  private nextDomid = 1;
  private backend: { readonly key: string; readonly domid: number } = { key: DOM0, domid: 0 };

  /** @param hasDriverDomain the guests' cards are served by another domain than dom0 */
  constructor(
    private readonly directory: string,
    readonly logFile: string,
    private readonly hasDriverDomain = false,
  ) {}

  async start(): Promise<void> {
    const emulator = await Emulator.start({ directory: this.directory, logFile: this.logFile });
    this.emulator = emulator;
    const store = await emulator.openXenstore(DOM0);
    this.running = { emulator, store, toolstack: new Toolstack(store) };
    if (this.hasDriverDomain) this.backend = await this.createDomain('sound');
  }

  async stop(): Promise<void> {
    this.running?.store.close();
    await this.emulator?.stop();
    this.running = undefined;
    this.emulator = undefined;
  }

  /** For what only an emulator can do: another domid. @throws Error before `start` */
  get control(): Emulator {
    return this.parts.emulator;
  }

  get store(): XenstoreClient {
    return this.parts.store;
  }

  get dom0Env(): NodeJS.ProcessEnv {
    return this.environment(DOM0);
  }

  get backendDomid(): number {
    return this.backend.domid;
  }

  get backendEnv(): NodeJS.ProcessEnv {
    return this.environment(this.backend.key);
  }

  async createDomain(name?: string, uuid: string = randomUUID()): Promise<Domain> {
    const domid = this.nextDomid;
    this.nextDomid += 1;
    const key = `guest${domid}`;
    const identity = { key, domid, uuid, name: name ?? key };
    await this.control.createDomain(identity);
    return { ...identity, machine: thisMachine, env: this.environment(key) };
  }

  /**
   * Resumes a domain whose processes stand still and whose cards are gone: ports and grants of before are dead, its nodes
   * are made anew. @param domid default: one that was never used
   */
  async resumeDomain(domain: Domain, domid = this.nextDomid): Promise<Domain> {
    this.nextDomid = Math.max(this.nextDomid, domid + 1);
    await this.store.rm(`/local/domain/${this.backendDomid}/backend/vsnd/${domain.domid}`); // libxl leaves no empty directory behind
    await this.control.changeDomid(domain.key, domid);
    return { ...domain, domid };
  }

  /** They end with the emulator. */
  releaseDomains(): Promise<void> {
    return Promise.resolve();
  }

  async destroyDomain(domain: Domain): Promise<void> {
    await this.control.destroyDomain(domain.key);
  }

  async addCard(domain: Domain, devid: number, card: VsndCard): Promise<void> {
    const { backendDomid } = this;
    await this.parts.toolstack.addVsnd(domain.domid, devid, { backendDomid, ...card });
  }

  async removeCard(domain: Domain, devid: number): Promise<void> {
    await this.parts.toolstack.removeVsnd(domain.domid, devid, this.backendDomid);
  }

  async counts(): Promise<Counts> {
    return this.control.counts();
  }

  /** For XENSTORED_PATH and LD_LIBRARY_PATH. */
  private environment(key: string): NodeJS.ProcessEnv {
    return {
      XENSTORED_PATH: this.control.xenstorePath(key),
      LD_LIBRARY_PATH: this.control.libraryPath(key),
    };
  }

  private get parts(): Running {
    if (this.running === undefined) {
      throw new Error('the emulated Xen does not run');
    }
    return this.running;
  }
}
