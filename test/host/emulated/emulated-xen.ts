// SPDX-License-Identifier: LGPL-2.1-or-later
import { randomUUID } from 'node:crypto';

import { DOM0, Emulator } from '../../emulator/client.js';
import { Toolstack, type VsndCard } from '../../lib/toolstack.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';
import { thisMachine } from '../machine.js';
import type { Counts, Domain, Xen } from '../xen.js';

/** The key of the dom0 of a second host, and the beginning of its guests' keys. */
const BESIDE = 'beside';

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
  private readonly dom0: string;
  private backend: { readonly key: string; readonly domid: number };

  /**
   * @param hasDriverDomain the guests' cards are served by another domain than dom0
   * @param beside a Xen that runs longer: guests can migrate between the two
   */
  constructor(
    private readonly directory: string,
    readonly logFile: string,
    private readonly hasDriverDomain = false,
    private readonly beside?: EmulatedXen,
  ) {
    this.dom0 = beside === undefined ? DOM0 : BESIDE;
    this.backend = { key: this.dom0, domid: 0 };
  }

  async start(): Promise<void> {
    const emulator = await this.startEmulator();
    const store = await emulator.openXenstore(this.dom0);
    this.running = { emulator, store, toolstack: new Toolstack(store) };
    if (this.hasDriverDomain) this.backend = await this.createDomain('sound');
  }

  private async startEmulator(): Promise<Emulator> {
    if (this.beside !== undefined) {
      await this.beside.control.createHost(BESIDE);
      return this.beside.control;
    }
    this.emulator = await Emulator.start({ directory: this.directory, logFile: this.logFile });
    return this.emulator;
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
    return this.environment(this.dom0);
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
    const guest = `guest${domid}`;
    const key = this.beside === undefined ? guest : `${BESIDE}-${guest}`;
    const identity = { key, domid, uuid, name: name ?? guest };
    await this.control.createDomain({ ...identity, host: this.dom0 });
    return { ...identity, machine: thisMachine, env: this.environment(key) };
  }

  /**
   * Resumes a domain whose processes stand still and whose cards are gone: ports and grants of before are dead, its nodes
   * are made anew.
   *
   * @param domid default: one that was never used
   * @param from where it was; default: here
   */
  async resumeDomain(domain: Domain, domid = this.nextDomid, from: EmulatedXen = this): Promise<Domain> {
    this.nextDomid = Math.max(this.nextDomid, domid + 1);
    await from.store.rm(`/local/domain/${from.backendDomid}/backend/vsnd/${domain.domid}`); // libxl leaves no empty directory behind
    await this.control.changeDomid(domain.key, domid, this.dom0);
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
    return this.control.counts(this.dom0);
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
