// SPDX-License-Identifier: LGPL-2.1-or-later
import { join } from 'node:path';

import type { PulseClient } from '../lib/pulse.js';
import { tailOf } from '../lib/process.js';
import { waitFor } from '../lib/wait.js';
import { PulseDaemon } from './pulse-daemon.js';
import type { Domain, Xen } from './xen.js';

/** The modules of a guest, and what their devices are called when a test names none. */
const SINK = { module: 'module-xen-sink', argument: 'sink_name', name: 'xen' };
const SOURCE = { module: 'module-xen-source', argument: 'source_name', name: 'xen_mic' };
/** The streams of a guest's card. */
export const PLAYBACK_STREAM = '0/0';
export const CAPTURE_STREAM = '0/1';
/** XenbusState Connected. */
const CONNECTED = '4';

/** A guest: its domain, and the PulseAudio in it. */
export class Guest {
  readonly pulse: PulseDaemon;
  readonly dir: string;
  /** The sink's name, while one is loaded by `loadSink`. */
  sink: string | null = null;
  /** The source's name, while one is loaded by `loadSource`. */
  source: string | null = null;

  constructor(
    /** Another one after `Host.restore`. */
    public domain: Domain,
    hostDir: string,
    moduleDir: string,
    private xen: Xen,
  ) {
    this.dir = join(hostDir, domain.key);
    this.pulse = new PulseDaemon({
      name: `PulseAudio of ${domain.name}`,
      dir: join(this.dir, 'pulse'),
      machine: domain.machine,
      moduleDir,
      env: () => domain.env, // of its key, which it keeps
      modules: [],
    });
  }

  get client(): PulseClient {
    return this.pulse.client;
  }

  /** It goes on at another host, as that domain. */
  moveTo(xen: Xen, domain: Domain): void {
    this.xen = xen;
    this.domain = domain;
  }

  /**
   * Loads module-xen-sink; it connects by and by, see `connected`.
   *
   * @param args module arguments; the default `sink_name` and `device` are put in front when they name none
   * @returns the module's index
   * @throws Error when PulseAudio refuses it, with the end of its log, which says why
   */
  async loadSink(args = ''): Promise<number> {
    const { index, device } = await this.load(SINK, args);
    this.sink = device;
    return index;
  }

  /** As `loadSink`, for module-xen-source: `source_name` is what names it. */
  async loadSource(args = ''): Promise<number> {
    const { index, device } = await this.load(SOURCE, args);
    this.source = device;
    return index;
  }

  /** Unloads what `loadSource` loaded. */
  async unloadSource(index: number): Promise<void> {
    await this.client.unloadModule(index);
    this.source = null;
  }

  private async load(
    { module, argument, name }: typeof SINK,
    args: string,
  ): Promise<{ index: number; device: string }> {
    const given = new RegExp(`(?:^|\\s)${argument}=(\\S+)`).exec(args)?.[1];
    const all = [
      ...(given === undefined ? [`${argument}=${name}`] : []),
      ...(/(?:^|\s)device=/.test(args) ? [] : ['device=0']),
      ...(args === '' ? [] : [args]),
    ].join(' ');
    try {
      return { index: await this.client.loadModule(module, all), device: given ?? name };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${module} ${all} in ${this.domain.name}: ${reason}\n${this.logTail()}`, {
        cause: error,
      });
    }
  }

  /**
   * Resolves when frontend and backend of a card are both connected, with the streams of the sink and of the source
   * that are loaded. @throws WaitTimeout that says where they are
   */
  async connected(devid = 0, timeoutMs = 20_000): Promise<void> {
    const { domid, name } = this.domain;
    const { backendDomid } = this.xen;
    const cards = [frontendPath(domid, devid), backendPath(domid, devid, backendDomid)];
    const states = cards.map((path) => `${path}/state`);
    const streams = [
      ...(this.sink === null ? [] : [PLAYBACK_STREAM]),
      ...(this.source === null ? [] : [CAPTURE_STREAM]),
    ].map((stream) => `${controlPath(domid, devid, backendDomid)}/${stream}/state`);
    const missing = async (): Promise<string[]> => {
      const found = await Promise.all([...states, ...streams].map((path) => this.xen.store.tryRead(path)));
      return [...states, ...streams].flatMap((path, index) => {
        const value = found[index];
        const isThere = states.includes(path) ? value === CONNECTED : value !== undefined;
        return isThere ? [] : [`${path} is ${value ?? 'absent'}`];
      });
    };
    await waitFor(
      `card ${devid} of ${name} (domain ${domid}) to connect: frontend and backend in state 4`,
      async () => (await missing()).length === 0,
      {
        timeoutMs,
        detail: async () => [...(await missing().catch(() => [])), this.logTail()].join('\n'),
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

/** The directory in which controller and modules talk about a card's streams. */
export function controlPath(domid: number, devid: number, backendDomid = 0): string {
  return `/local/domain/${backendDomid}/data/xen-audio/${domid}/${devid}`;
}

export function backendPath(domid: number, devid: number, backendDomid = 0): string {
  return `/local/domain/${backendDomid}/backend/vsnd/${domid}/${devid}`;
}
