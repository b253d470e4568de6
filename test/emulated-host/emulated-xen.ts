// SPDX-License-Identifier: LGPL-2.1-or-later
import type { Counts } from '../emulator/control-protocol.js';
import { DOM0, Emulator, type NewDomain } from '../emulator/client.js';
import { Toolstack, type VsndCard } from '../lib/toolstack.js';
import type { XenstoreClient } from '../lib/xenstore-client.js';

/** How a program gets into a domain. */
export interface DomainEnvironment {
  /** For XENSTORED_PATH. */
  xenstore: string;
  /** For LD_LIBRARY_PATH. */
  lib: string;
  /** Both, by these names. */
  env: NodeJS.ProcessEnv;
}

interface Running {
  emulator: Emulator;
  /** dom0's view. */
  store: XenstoreClient;
  toolstack: Toolstack;
}

/** The emulated Xen of a host, with dom0's connection to xenstore and a toolstack on it. */
export class EmulatedXen {
  private running: Running | undefined;
  private emulator: Emulator | undefined;

  constructor(
    private readonly directory: string,
    readonly logFile: string,
  ) {}

  async start(): Promise<void> {
    const emulator = await Emulator.start({ directory: this.directory, logFile: this.logFile });
    this.emulator = emulator;
    const store = await emulator.openXenstore(DOM0);
    this.running = { emulator, store, toolstack: new Toolstack(store) };
  }

  /** Harmless when it does not run. */
  async stop(): Promise<void> {
    this.running?.store.close();
    await this.emulator?.stop();
    this.running = undefined;
    this.emulator = undefined;
  }

  /** For what has no method here: ports, grants, another domid. @throws Error before `start` */
  get control(): Emulator {
    return this.parts.emulator;
  }

  get store(): XenstoreClient {
    return this.parts.store;
  }

  get toolstack(): Toolstack {
    return this.parts.toolstack;
  }

  async createDomain(domain: NewDomain): Promise<DomainEnvironment> {
    await this.control.createDomain(domain);
    return this.environment(domain.key);
  }

  environment(key: string): DomainEnvironment {
    const xenstore = this.control.xenstorePath(key);
    const lib = this.control.libraryPath(key);
    return { xenstore, lib, env: { XENSTORED_PATH: xenstore, LD_LIBRARY_PATH: lib } };
  }

  get dom0(): DomainEnvironment {
    return this.environment(DOM0);
  }

  async counts(): Promise<Counts> {
    return this.control.counts();
  }

  /** A node as dom0 sees it; undefined when it is absent. */
  async read(path: string): Promise<string | undefined> {
    return this.store.tryRead(path);
  }

  private get parts(): Running {
    if (this.running === undefined) {
      throw new Error('the emulated Xen does not run');
    }
    return this.running;
  }
}

/** A card with one PCM device of one playback stream, and no limits of its own. */
export function playbackCard(name: string): VsndCard {
  return {
    shortName: name,
    longName: `Sound of ${name}`,
    pcm: [{ name: 'playback', streams: [{ type: 'p', uniqueId: 'out' }] }],
  };
}
