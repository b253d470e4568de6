// SPDX-License-Identifier: LGPL-2.1-or-later
import { join } from 'node:path';

import type { PulseClient } from '../lib/pulse.js';
import { tailOf } from '../lib/process.js';
import { waitFor } from '../lib/wait.js';
import { PulseDaemon } from './pulse-daemon.js';
import type { Domain, Xen } from './xen.js';

const SINK_MODULE = 'module-xen-sink';
export const SINK_NAME = 'xen';
/** XenbusState Connected. */
const CONNECTED = '4';

/** A guest: its domain, and the PulseAudio in it. */
export class Guest {
  readonly pulse: PulseDaemon;
  readonly dir: string;
  /** The sink's name, while one is loaded by `loadSink`. */
  sink: string | null = null;

  constructor(
    readonly domain: Domain,
    hostDir: string,
    moduleDir: string,
    private readonly xen: Xen,
  ) {
    this.dir = join(hostDir, domain.key);
    this.pulse = new PulseDaemon({
      name: `PulseAudio of ${domain.name}`,
      dir: join(this.dir, 'pulse'),
      machine: domain.machine,
      moduleDir,
      env: () => domain.env,
      modules: [],
    });
  }

  get client(): PulseClient {
    return this.pulse.client;
  }

  /**
   * Loads module-xen-sink; it connects by and by, see `connected`.
   *
   * @param args module arguments; the default `sink_name` and `device` are put in front when they name none
   * @returns the module's index
   * @throws Error when PulseAudio refuses it, with the end of its log, which says why
   */
  async loadSink(args = ''): Promise<number> {
    const given = /(?:^|\s)sink_name=(\S+)/.exec(args)?.[1];
    const all = [
      ...(given === undefined ? [`sink_name=${SINK_NAME}`] : []),
      ...(/(?:^|\s)device=/.test(args) ? [] : ['device=0']),
      ...(args === '' ? [] : [args]),
    ].join(' ');
    try {
      const index = await this.client.loadModule(SINK_MODULE, all);
      this.sink = given ?? SINK_NAME;
      return index;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${SINK_MODULE} ${all} in ${this.domain.name}: ${reason}\n${this.logTail()}`, {
        cause: error,
      });
    }
  }

  /** Resolves when frontend and backend of a card are both connected. @throws WaitTimeout that says where they are */
  async connected(devid = 0, timeoutMs = 20_000): Promise<void> {
    const { domid, name } = this.domain;
    const paths = [frontendPath(domid, devid), backendPath(domid, devid)].map((path) => `${path}/state`);
    const states = (): Promise<(string | undefined)[]> =>
      Promise.all(paths.map((path) => this.xen.store.tryRead(path)));
    await waitFor(
      `card ${devid} of ${name} (domain ${domid}) to connect: frontend and backend in state 4`,
      async () => (await states()).every((state) => state === CONNECTED),
      {
        timeoutMs,
        detail: async () => {
          const found = await states().catch(() => []);
          const lines = paths.map((path, index) => `${path} is ${found[index] ?? 'absent'}`);
          return [...lines, this.logTail()].join('\n');
        },
      },
    );
  }

  logTail(): string {
    return tailOf(this.pulse.logFile);
  }
}

export function frontendPath(domid: number, devid: number): string {
  return `/local/domain/${domid}/device/vsnd/${devid}`;
}

export function backendPath(domid: number, devid: number): string {
  return `/local/domain/0/backend/vsnd/${domid}/${devid}`;
}
