// SPDX-License-Identifier: LGPL-2.1-or-later
/** What xl and libxl do in xenstore for a sound card (`vsnd=`). */
import { waitFor, WaitTimeout } from './wait.js';
import type { XenstoreAccess, XenstoreClient } from './xenstore-client.js';

/** LIBXL_INIT_TIMEOUT and LIBXL_DESTROY_TIMEOUT. */
const BACKEND_TIMEOUT_MS = 10_000;

/** What card, PCM device and stream have in common; what is absent is inherited. */
export interface VsndParams {
  sampleRates?: readonly number[];
  sampleFormats?: readonly string[];
  channelsMin?: number;
  channelsMax?: number;
  bufferSizeBytes?: number;
}

export interface VsndStream extends VsndParams {
  /** Playback or capture. */
  type: 'p' | 'c';
  uniqueId?: string;
}

export interface VsndPcm extends VsndParams {
  name?: string;
  streams: readonly VsndStream[];
}

export interface VsndCard extends VsndParams {
  /** Default: dom0. */
  backendDomid?: number;
  shortName?: string;
  longName?: string;
  pcm: readonly VsndPcm[];
}

/** The backend did not do its part in time; xl reports this as a failed device. */
export class ToolstackError extends Error {
  override name = 'ToolstackError';
}

type Nodes = readonly (readonly [string, string])[];

/** The directories of one card. */
interface DevicePaths {
  readonly frontend: string;
  readonly backend: string;
  readonly libxl: string;
  readonly isOfDriverDomain: boolean;
}

export class Toolstack {
  #lastToken = 0;
  #lastTransaction: Promise<unknown> = Promise.resolve();

  /**
   * @param store a client of dom0, which the caller closes
   * @param timeoutMs how long it waits for a backend; the default is libxl's
   * @param exact state 2 must have been read, as by libxl; otherwise a card that is past it will do, since a test's process
   *   may be kept waiting for longer than the backend holds that state
   */
  constructor(
    private readonly store: XenstoreClient,
    private readonly timeoutMs = BACKEND_TIMEOUT_MS,
    private readonly exact = false,
  ) {}

  /**
   * Attaches a card, and waits until its backend has been in state 2.
   * @throws ToolstackError when it exists already, or the backend is not there within 10 s; the nodes are then left
   *   as they are, as xl does until the domain is destroyed
   */
  async addVsnd(domid: number, devid: number, card: VsndCard): Promise<void> {
    const backendDomid = card.backendDomid ?? 0;
    const device = pathsOf(domid, devid, backendDomid);
    const back: Nodes = [
      ['frontend-id', String(domid)],
      ['online', '1'],
      ['state', '1'],
    ];
    const front: Nodes = [['backend-id', String(backendDomid)], ['state', '1'], ...cardNodes(card)];
    await this.#transaction(async (access) => {
      if ((await access.tryRead(`${device.libxl}/frontend`)) !== undefined) {
        throw new ToolstackError(`card ${devid} of domain ${domid} exists already; remove it first`);
      }
      const own: Nodes = [
        ['frontend', device.frontend],
        ['backend', device.backend],
      ];
      await writeDirectory(access, device.libxl, undefined, [...own, ...back]);
      const frontPerms = [`n${domid}`, `r${backendDomid}`];
      await writeDirectory(access, device.frontend, frontPerms, [['backend', device.backend], ...front]);
      const backPerms = [`n${backendDomid}`, `r${domid}`];
      await writeDirectory(access, device.backend, backPerms, [['frontend', device.frontend], ...back]);
    });
    await this.#awaitState(device, '2', `unable to add card ${devid} to domain ${domid}`);
  }

  /**
   * Detaches a card: asks the backend to close, and removes the nodes when it has, or by force after 10 s.
   * @throws ToolstackError after a removal by force, or when there is no such card
   */
  async removeVsnd(domid: number, devid: number, backendDomid = 0): Promise<void> {
    const device = pathsOf(domid, devid, backendDomid);
    try {
      await this.#transaction(async (access) => {
        const current = await access.tryRead(`${device.backend}/state`);
        if (current === undefined) throw new ToolstackError(`domain ${domid} has no card ${devid}`);
        await access.write(`${device.backend}/online`, '0');
        if (current !== '6') await access.write(`${device.backend}/state`, '5');
      });
      const failure = `card ${devid} of domain ${domid} was removed by force`;
      await this.#awaitState(device, '6', failure);
    } finally {
      await this.#removeNodes(device);
    }
  }

  /** One after the other: all touch the directories above the cards, and would only be in each other's way. */
  async #transaction(act: (access: XenstoreAccess) => Promise<void>): Promise<void> {
    const ended = this.#lastTransaction.then(() => this.store.transaction(act));
    this.#lastTransaction = ended.catch(() => undefined);
    await ended;
  }

  /** As libxl, which leaves what is a driver domain's to that. */
  async #removeNodes(device: DevicePaths): Promise<void> {
    const own = [device.frontend, ...(device.isOfDriverDomain ? [] : [device.backend]), device.libxl];
    await this.#transaction(async (access) => {
      for (const path of own) {
        if ((await access.tryRead(path)) !== undefined) await access.rm(path);
      }
    });
  }

  /** Waits as libxl does: what counts is what the node reads when the watch has fired, not what it was meanwhile. */
  async #awaitState(device: DevicePaths, wanted: string, failure: string): Promise<void> {
    const path = `${device.backend}/state`;
    const token = `toolstack-${++this.#lastToken}`;
    let state: string | undefined;
    let hasReached = false;
    let reading = Promise.resolve();
    await this.store.watch(path, token, () => {
      reading = reading.then(async () => {
        state = await this.store.tryRead(path);
        hasReached ||= state === wanted || (wanted === '2' && state === '4' && !this.exact);
      });
    });
    try {
      await waitFor(`state ${wanted} in ${path}`, () => hasReached, { timeoutMs: this.timeoutMs });
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      const instead = state === undefined ? 'the node is missing' : `it is ${state}`;
      throw new ToolstackError(
        `${failure}: ${path} was not ${wanted} within ${this.timeoutMs} ms, ${instead}; does the backend run?`,
      );
    } finally {
      await this.store.unwatch(path, token);
      await reading;
    }
  }
}

function pathsOf(domid: number, devid: number, backendDomid: number): DevicePaths {
  return {
    frontend: `/local/domain/${domid}/device/vsnd/${devid}`,
    backend: `/local/domain/${backendDomid}/backend/vsnd/${domid}/${devid}`,
    libxl: `/libxl/${domid}/device/vsnd/${devid}`,
    isOfDriverDomain: backendDomid !== 0,
  };
}

/** Replaces a directory; its nodes inherit its permissions. Xenstore answers in order, so nothing waits in between. */
async function writeDirectory(
  access: XenstoreAccess,
  directory: string,
  permissions: readonly string[] | undefined,
  nodes: Nodes,
): Promise<void> {
  if ((await access.tryRead(directory)) !== undefined) await access.rm(directory);
  const permit = (path: string): Promise<void>[] =>
    permissions === undefined ? [] : [access.setPerms(path, permissions)];
  await Promise.all([
    access.mkdir(directory),
    ...permit(directory),
    ...nodes.flatMap(([name, value]) => {
      const path = `${directory}/${name}`;
      return [access.write(path, value), ...permit(path)];
    }),
  ]);
}

function cardNodes(card: VsndCard): Nodes {
  const streamNodes = (prefix: string, stream: VsndStream): Nodes => [
    ...optional(`${prefix}/unique-id`, stream.uniqueId),
    [`${prefix}/type`, stream.type],
    ...paramNodes(`${prefix}/`, stream),
  ];
  const pcmNodes = (prefix: string, pcm: VsndPcm): Nodes => [
    ...optional(`${prefix}/name`, pcm.name),
    ...paramNodes(`${prefix}/`, pcm),
    ...pcm.streams.flatMap((stream, index) => streamNodes(`${prefix}/${index}`, stream)),
  ];
  return [
    ...optional('long-name', card.longName),
    ...optional('short-name', card.shortName),
    ...paramNodes('', card),
    ...card.pcm.flatMap((pcm, index) => pcmNodes(String(index), pcm)),
  ];
}

const paramNodes = (prefix: string, params: VsndParams): Nodes => [
  ...optional(`${prefix}sample-rates`, params.sampleRates?.join(',')),
  ...optional(`${prefix}sample-formats`, params.sampleFormats?.join(',')),
  ...optional(`${prefix}channels-min`, params.channelsMin),
  ...optional(`${prefix}channels-max`, params.channelsMax),
  ...optional(`${prefix}buffer-size`, params.bufferSizeBytes),
];

const optional = (name: string, value: string | number | undefined): Nodes =>
  value === undefined ? [] : [[name, String(value)]];
