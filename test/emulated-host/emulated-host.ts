// SPDX-License-Identifier: LGPL-2.1-or-later
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Counts } from '../emulator/control-protocol.js';
import { paths } from '../lib/paths.js';
import type { PulseClient } from '../lib/pulse.js';
import type { VsndCard } from '../lib/toolstack.js';
import { ControllerProcess } from './controller-process.js';
import type { HostDescription } from './description.js';
import { EmulatedXen, playbackCard } from './emulated-xen.js';
import { claimFolder, makeTestFolder, removeFolder } from './folder.js';
import { Guest } from './guest.js';
import { PrivateBus } from './private-bus.js';
import { PulseDaemon } from './pulse-daemon.js';

export const SPEAKERS = 'speakers';
export const MIC_FEED = 'mic_feed';
/** The one card of a guest. */
const DEVID = 0;

export interface HostOptions {
  /** Its folder, which must not exist; default: a new one on tmpfs. */
  dir?: string;
  /** How many guests to start, each connected when `start` resolves; default 0. */
  guests?: number;
  /** Arguments for the module-null-sink that stands for dom0's loudspeakers. */
  nullSinkArgs?: string;
  /** Arguments for module-xen-sink of the guests that `start` makes. */
  sinkArgs?: string;
  /** Settings of xen-audiod over its defaults (schemas/config.ts), except the sound server's address. */
  config?: Record<string, unknown>;
  /** Folder of our PulseAudio modules; default build/c. */
  moduleDir?: string;
  /** Gives the start up between two steps, and stops what runs already. */
  signal?: AbortSignal;
}

export interface GuestOptions {
  name?: string;
  /** Its sound card, devid 0; default: one playback stream without limits. */
  card?: VsndCard;
  /** Starts its PulseAudio; default true. */
  pulse?: boolean;
}

/**
 * A Xen host on a machine without Xen: emulated Xen, D-Bus, dom0's PulseAudio, xen-audiod, guests. It owns every
 * process and the folder; `stop` ends and removes them, in reverse order, from any half-built state.
 */
export class EmulatedHost {
  readonly xen: EmulatedXen;
  readonly bus: PrivateBus;
  readonly pulse: PulseDaemon;
  readonly controller: ControllerProcess;
  readonly guests: Guest[] = [];
  private nextDomid = 1;

  private constructor(
    readonly dir: string,
    private readonly options: HostOptions,
  ) {
    this.xen = new EmulatedXen(join(dir, 'xen'), join(dir, 'xen.log'));
    this.bus = new PrivateBus(join(dir, 'bus'));
    const env = (): NodeJS.ProcessEnv => this.dom0Environment();
    this.pulse = new PulseDaemon({
      name: "dom0's PulseAudio",
      dir: join(dir, 'dom0'),
      moduleDir: this.moduleDir,
      env,
      modules: [
        `module-null-sink sink_name=${SPEAKERS} ${options.nullSinkArgs ?? ''}`.trimEnd(),
        `module-null-sink sink_name=${MIC_FEED}`,
      ],
    });
    this.controller = new ControllerProcess({
      dir: join(dir, 'controller'),
      program: join(paths.root, 'build/js/controller/main.js'),
      env,
      config: {
        logLevel: 'debug',
        ...options.config,
        pulse: { sink: SPEAKERS, ...subObject(options.config, 'pulse'), server: this.pulse.server },
      },
    });
  }

  /** Starts a host. @throws Error that says what is missing; nothing is left behind then */
  static async start(options: HostOptions = {}): Promise<EmulatedHost> {
    const dir = options.dir === undefined ? makeTestFolder() : claimFolder(options.dir);
    const host = new EmulatedHost(dir, options);
    try {
      await host.startAll();
      return host;
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  /** dom0's sound server as its clients see it. */
  get client(): PulseClient {
    return this.pulse.client;
  }

  private get moduleDir(): string {
    return this.options.moduleDir ?? paths.coreBuildDir;
  }

  private async startAll(): Promise<void> {
    const { signal, guests = 0, sinkArgs } = this.options;
    const steps: (() => Promise<unknown>)[] = [
      () => this.xen.start(),
      () => this.bus.start(),
      () => this.pulse.start(),
      () => this.controller.start(),
    ];
    for (let index = 0; index < guests; index += 1) {
      steps.push(async () => {
        const guest = await this.addGuest();
        await guest.loadSink(sinkArgs);
        await guest.connected();
      });
    }
    for (const step of steps) {
      signal?.throwIfAborted();
      await step();
    }
  }

  /** Ends everything in reverse order and removes the folder. Safe to call at any time, and twice. */
  async stop(): Promise<void> {
    const stops: (() => Promise<unknown>)[] = [
      ...[...this.guests].reverse().map((guest) => () => guest.pulse.stop()),
      () => this.controller.stop(),
      () => this.pulse.stop(),
      () => this.bus.stop(),
      () => this.xen.stop(),
    ];
    const failures: unknown[] = [];
    for (const stop of stops) {
      await stop().catch((error: unknown) => failures.push(error));
    }
    this.guests.length = 0;
    removeFolder(this.dir);
    if (failures.length > 0) {
      throw new AggregateError(failures, `stopping the emulated host: ${failures.map(String).join('; ')}`);
    }
  }

  /** Makes a domain with a card, and starts its PulseAudio, without a sink yet. */
  async addGuest(options: GuestOptions = {}): Promise<Guest> {
    const domid = this.nextDomid;
    this.nextDomid += 1;
    const name = options.name ?? `guest${domid}`;
    const identity = { key: `guest${domid}`, domid, uuid: randomUUID(), name };
    const domain = await this.xen.createDomain(identity);
    const guest = new Guest(identity, domain, this.dir, this.moduleDir, this.xen);
    this.guests.push(guest);
    await this.xen.toolstack.addVsnd(domid, DEVID, options.card ?? playbackCard(name));
    if (options.pulse ?? true) {
      await guest.pulse.start();
    }
    return guest;
  }

  /**
   * Destroys a domain as `xl destroy` does: it runs no more, its card goes, then the rest of it.
   *
   * @throws ToolstackError when the backend did not let go of the card; the domain is gone all the same
   */
  async removeGuest(guest: Guest): Promise<void> {
    await guest.pulse.kill();
    try {
      await this.xen.toolstack.removeVsnd(guest.identity.domid, DEVID);
    } finally {
      await this.xen.control.destroyDomain(guest.identity.key);
      this.guests.splice(this.guests.indexOf(guest), 1);
    }
  }

  /** Starts a guest's PulseAudio again after `killGuestPulse`; the sink must be loaded anew. */
  async startGuestPulse(guest: Guest): Promise<void> {
    await guest.pulse.start();
  }

  /** Ends a guest's PulseAudio as a crash would. */
  async killGuestPulse(guest: Guest): Promise<void> {
    await guest.pulse.kill();
    guest.sink = null;
  }

  /** Loads module-xen-sink in a guest; see `Guest.loadSink` and `Guest.connected`. */
  async loadSink(guest: Guest, args = ''): Promise<number> {
    return guest.loadSink(args);
  }

  async startController(): Promise<void> {
    await this.controller.start();
  }

  async stopController(): Promise<void> {
    await this.controller.stop();
  }

  async killController(): Promise<void> {
    await this.controller.kill();
  }

  /** What each domain holds: ports, grants, watches, …; for tests that look for leaks. */
  async counts(): Promise<Counts> {
    return this.xen.counts();
  }

  /** A node of the control directory of a guest's stream, such as `underruns`; undefined when it is absent. */
  async streamNode(guest: Guest, node: string, devid = 0): Promise<string | undefined> {
    return this.xen.read(`/local/domain/0/data/xen-audio/${guest.identity.domid}/${devid}/0/0/${node}`);
  }

  describe(): HostDescription {
    const dom0 = this.xen.dom0;
    return {
      dir: this.dir,
      dbus: this.bus.address,
      dom0: {
        pulse: this.pulse.server,
        xenstore: dom0.xenstore,
        lib: dom0.lib,
        sink: SPEAKERS,
        mic_feed: MIC_FEED,
        mic: `${MIC_FEED}.monitor`,
        logs: { pulse: this.pulse.logFile, controller: this.controller.logFile },
        pids: { pulse: this.pulse.pid ?? null, controller: this.controller.pid ?? null },
      },
      guests: this.guests.map((guest) => ({
        domid: guest.identity.domid,
        uuid: guest.identity.uuid,
        name: guest.identity.name,
        pulse: guest.pulse.server,
        xenstore: guest.domain.xenstore,
        lib: guest.domain.lib,
        sink: guest.sink,
        source: null,
        logs: { pulse: guest.pulse.logFile },
        pids: { pulse: guest.pulse.pid ?? null },
      })),
    };
  }

  /** Keeps `describe` in the folder, for whoever comes later. */
  writeDescription(description: HostDescription): void {
    writeFileSync(descriptionFile(this.dir), `${JSON.stringify(description, null, 2)}\n`);
  }

  private dom0Environment(): NodeJS.ProcessEnv {
    const bus = this.bus.address;
    return { ...this.xen.dom0.env, DBUS_SESSION_BUS_ADDRESS: bus, DBUS_SYSTEM_BUS_ADDRESS: bus };
  }
}

export function descriptionFile(dir: string): string {
  return join(dir, 'host.json');
}

function subObject(config: Record<string, unknown> | undefined, key: string): object {
  const value = config?.[key];
  return typeof value === 'object' && value !== null ? value : {};
}
