// SPDX-License-Identifier: LGPL-2.1-or-later
/** What the tests need of a Xen: an emulated one and a real one are behind it. */
import type { VsndCard } from '../lib/toolstack.js';
import type { XenstoreClient } from '../lib/xenstore-client.js';
import type { Machine } from './machine.js';

/** What a domain holds of Xen's, as far as this Xen can tell; whoever compares, compares with what it held before. */
export interface Held {
  /** Event channels. */
  ports: number;
  /** Pages it lets others map. */
  grants: number;
  /** Pages of others that it maps. */
  mapped: number;
  watches: number;
}

/** What each domain holds, by its key, and how many nodes xenstore has for sound. */
export interface Counts {
  domains: Record<string, Held>;
  nodes: number;
}

export const DOM0 = 'dom0';

/** A guest's domain. */
export interface Domain {
  /** Names it among the domains of its host, and its folders; never used again in the life of a host. */
  readonly key: string;
  readonly domid: number;
  readonly uuid: string;
  readonly name: string;
  /** Where its programs run. */
  readonly machine: Machine;
  /** What ties a program to it. */
  readonly env: NodeJS.ProcessEnv;
}

export interface Xen {
  /** dom0's view of xenstore. @throws Error before `start` */
  readonly store: XenstoreClient;
  /** What ties a program of this machine to dom0. @throws Error before `start` */
  readonly dom0Env: NodeJS.ProcessEnv;
  /** The domain whose sound server and xen-audiod serve the guests' cards: dom0, or a driver domain. */
  readonly backendDomid: number;
  /** As `dom0Env`, of that domain. */
  readonly backendEnv: NodeJS.ProcessEnv;
  start(): Promise<void>;
  /** Ends it, after everything that is tied to it. Harmless when it does not run. */
  stop(): Promise<void>;
  /**
   * A running domain without a card.
   * @param name default: one of its own
   * @param uuid of the VM, when it ran before; on an emulated Xen alone
   */
  createDomain(name?: string, uuid?: string): Promise<Domain>;
  /** Gives up the domains it made, their cards first; called while their backend still runs. */
  releaseDomains(): Promise<void>;
  /** As `xl destroy` does, but for its cards. */
  destroyDomain(domain: Domain): Promise<void>;
  /** Attaches a card as `xl vsnd-attach` does. @throws Error when its backend does not answer in time */
  addCard(domain: Domain, devid: number, card: VsndCard): Promise<void>;
  /** Detaches a card as `xl vsnd-detach` does. @throws Error when its backend did not let go of it in time */
  removeCard(domain: Domain, devid: number): Promise<void>;
  counts(): Promise<Counts>;
}
