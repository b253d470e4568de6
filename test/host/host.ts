// SPDX-License-Identifier: LGPL-2.1-or-later
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { paths } from '../lib/paths.js';
import type { PulseClient } from '../lib/pulse.js';
import { XEN_OF_RUN } from '../lib/scale.js';
import type { VsndCard } from '../lib/toolstack.js';
import { waitFor } from '../lib/wait.js';
import { ControllerProcess } from './controller-process.js';
import { EmulatedXen } from './emulated/emulated-xen.js';
import { claimFolder, makeTestFolder, removeFolder } from '../host/folder.js';
import { CAPTURE_STREAM, controlPath, Guest, PLAYBACK_STREAM } from './guest.js';
import { thisMachine } from './machine.js';
import { PrivateBus } from './private-bus.js';
import { PulseDaemon } from './pulse-daemon.js';
import { RealXen } from './real/real-xen.js';
import type { Counts, Xen } from './xen.js';

export const SPEAKERS = 'speakers';
/** What is played into it is what dom0's microphone hears. */
export const MIC_FEED = 'mic_feed';
export const MICROPHONE = `${MIC_FEED}.monitor`;
/** The one card of a guest. */
const DEVID = 0;

export interface HostOptions {
  /** Default: what the environment variable XEN_AUDIO_TEST_XEN says, or 'emulated'. */
  xen?: 'emulated' | 'real';
  /** Sound server and xen-audiod run in a domain other than dom0; on an emulated Xen alone. */
  driverDomain?: boolean;
  /** Its folder, which must not exist; default: a new one on tmpfs. */
  dir?: string;
  /** How many guests to start, each connected when `start` resolves; default 0. */
  guests?: number;
  /** Arguments for the module-null-sink that stands for dom0's loudspeakers. */
  nullSinkArgs?: string;
  /** Arguments for the module-null-sink whose monitor is dom0's microphone. */
  micFeedArgs?: string;
  /** Arguments for module-xen-sink of the guests that `start` makes. */
  sinkArgs?: string;
  /** Loads module-xen-source, with these arguments, in the guests that `start` makes; default: none. */
  sourceArgs?: string;
  /** Names of guests that may record from the start; default: nobody. `start` makes guest1, guest2, … */
  mayRecord?: readonly string[];
  /** What policy says of all guests (schemas/policy.ts), over: dom0's loudspeakers and microphone. */
  policy?: Record<string, unknown>;
  /** Settings of xen-audiod over its defaults (schemas/config.ts), except the sound server's address. */
  config?: Record<string, unknown>;
  /** Folder of our PulseAudio modules; default build/c. */
  moduleDir?: string;
  /** A host that ends later, to which and from which guests can migrate; both are emulated. */
  beside?: Host;
  /** Gives the start up between two steps, and stops what runs already. */
  signal?: AbortSignal;
}

export interface GuestOptions {
  name?: string;
  /** Of its VM, when that ran before; on an emulated Xen alone. */
  uuid?: string;
  /** Its sound card, devid 0; default: a playback and a capture stream without limits. */
  card?: VsndCard;
  /** Starts its PulseAudio; default true. */
  pulse?: boolean;
}

/**
 * A Xen host: Xen, D-Bus, dom0's PulseAudio, xen-audiod, guests. It owns every process and the folder; `stop` ends and
 * removes them, in reverse order, from any half-built state.
 */
export class Host {
  readonly xen: Xen;
  readonly bus: PrivateBus;
  readonly pulse: PulseDaemon;
  readonly controller: ControllerProcess;
  readonly guests: Guest[] = [];
  /** Rules of the policy, before those for who may record. */
  private rules: readonly Record<string, unknown>[] = [];
  /** Names and UUIDs, as the policy has them. */
  private readonly recorders: Set<string>;

  private constructor(
    readonly dir: string,
    private readonly options: HostOptions,
  ) {
    this.xen = xenOf(options, dir);
    this.bus = new PrivateBus(join(dir, 'bus'));
    this.recorders = new Set(options.mayRecord);
    const env = (): NodeJS.ProcessEnv => this.backendEnvironment();
    this.pulse = new PulseDaemon({
      name: "dom0's PulseAudio",
      machine: thisMachine,
      dir: join(dir, 'dom0'),
      moduleDir: this.moduleDir,
      env,
      modules: [
        `module-null-sink sink_name=${SPEAKERS} ${options.nullSinkArgs ?? ''}`.trimEnd(),
        `module-null-sink sink_name=${MIC_FEED} ${options.micFeedArgs ?? ''}`.trimEnd(),
      ],
    });
    this.controller = new ControllerProcess({
      dir: join(dir, 'controller'),
      program: join(paths.root, 'build/js/controller/main.js'),
      env,
      config: () => this.config(),
    });
  }

  private config(): Record<string, unknown> {
    const { config } = this.options;
    return {
      logLevel: 'debug',
      policyFile: join(this.dir, 'policy.yaml'),
      stateDir: join(this.dir, 'state'),
      ...config,
      pulse: { ...subObject(config, 'pulse'), server: this.pulse.server },
    };
  }

  /** Who may record, and where all play and record, unless a test says otherwise. */
  private writePolicy(): void {
    const { policy = {} } = this.options;
    const recorders = this.recorders.size === 0 ? [] : [{ guests: [...this.recorders], capture: 'allow' }];
    const rules = [...this.rules, ...recorders];
    const text = { default: { sink: SPEAKERS, source: MICROPHONE, ...policy }, rules };
    writeFileSync(join(this.dir, 'policy.yaml'), JSON.stringify(text, null, 2)); // JSON is YAML
  }

  /** Starts a host. @throws Error that says what is missing; nothing is left behind then */
  static async start(options: HostOptions = {}): Promise<Host> {
    const dir = options.dir === undefined ? makeTestFolder() : claimFolder(options.dir);
    const host = new Host(dir, options);
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
    const { signal, guests = 0, sinkArgs, sourceArgs } = this.options;
    const steps: (() => Promise<unknown>)[] = [
      () => this.xen.start(),
      () => this.bus.start(),
      () => this.pulse.start(),
      () => {
        this.writePolicy();
        return this.controller.start();
      },
    ];
    for (let index = 0; index < guests; index += 1) {
      steps.push(async () => {
        const guest = await this.addGuest();
        await guest.loadSink(sinkArgs);
        if (sourceArgs !== undefined) {
          await guest.loadSource(sourceArgs);
        }
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
      () => this.xen.releaseDomains(),
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
      throw new AggregateError(failures, `stopping the host: ${failures.map(String).join('; ')}`);
    }
  }

  /** Makes a domain with a card, and starts its PulseAudio, without a sink yet. */
  async addGuest(options: GuestOptions = {}): Promise<Guest> {
    const domain = await this.xen.createDomain(options.name, options.uuid);
    const guest = new Guest(domain, this.dir, this.moduleDir, this.xen);
    this.guests.push(guest);
    await this.addCard(guest, options.card);
    if (options.pulse ?? true) {
      await guest.pulse.start();
    }
    return guest;
  }

  /** Attaches a guest's one card; default: a playback and a capture stream. @throws Error of the toolstack */
  async addCard(guest: Guest, card: VsndCard = soundCard(guest.domain.name)): Promise<void> {
    await this.xen.addCard(guest.domain, DEVID, card);
  }

  /** Takes a guest's card away and gives it another. @throws Error of the toolstack */
  async changeCard(guest: Guest, card?: VsndCard): Promise<void> {
    await this.removeCard(guest);
    await this.addCard(guest, card);
  }

  /** Detaches it. @throws Error when the backend did not let go of it in time */
  async removeCard(guest: Guest): Promise<void> {
    await this.xen.removeCard(guest.domain, DEVID);
  }

  /**
   * Destroys a domain as `xl destroy` does: it runs no more, its card goes, then the rest of it.
   *
   * @throws Error when the backend did not let go of the card; the domain is gone all the same
   */
  async removeGuest(guest: Guest): Promise<void> {
    await guest.pulse.kill();
    try {
      await this.removeCard(guest);
    } finally {
      await this.destroyDomain(guest);
    }
  }

  /** Ends a domain that has no card any more. */
  async destroyDomain(guest: Guest): Promise<void> {
    await guest.pulse.kill();
    await this.xen.destroyDomain(guest.domain);
    this.guests.splice(this.guests.indexOf(guest), 1);
  }

  /** As `xl save` does: the guest stands still, and its card goes. */
  async save(guest: Guest): Promise<void> {
    guest.pulse.freeze();
    await this.removeCard(guest);
  }

  /**
   * As `xl restore` does with a guest that was saved: it goes on as another domain with the same card. On the emulated
   * Xen only.
   *
   * @param domid of the new domain; default: one that was never used
   */
  async restore(guest: Guest, domid?: number): Promise<void> {
    const { xen } = this;
    if (!(xen instanceof EmulatedXen))
      throw new Error('only a guest of the emulated Xen is restored like this');
    guest.domain = await xen.resumeDomain(guest.domain, domid);
    await this.addCard(guest);
    guest.pulse.thaw();
  }

  /** As `xl migrate` does: the guest stands still here, and goes on at a host beside this one, which owns it from then on. */
  async migrate(guest: Guest, to: Host): Promise<void> {
    const [here, there] = [this.xen, to.xen];
    if (!(here instanceof EmulatedXen && there instanceof EmulatedXen))
      throw new Error('only a guest of the emulated Xen migrates like this');
    await this.save(guest);
    guest.moveTo(there, await there.resumeDomain(guest.domain, undefined, here));
    this.guests.splice(this.guests.indexOf(guest), 1);
    to.guests.push(guest);
    await to.addCard(guest);
    guest.pulse.thaw();
  }

  /** As `xl save -c` does, and `xl migrate` when it fails: the guest stands still for a time, and all it has stays. */
  async pause(guest: Guest, act: () => Promise<void>): Promise<void> {
    guest.pulse.freeze();
    try {
      await act();
    } finally {
      guest.pulse.thaw();
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
    guest.source = null;
  }

  /** Loads module-xen-sink in a guest; see `Guest.loadSink` and `Guest.connected`. */
  async loadSink(guest: Guest, args = ''): Promise<number> {
    return guest.loadSink(args);
  }

  /** Puts other rules at the head of the policy (schemas/policy.ts); resolves when xen-audiod has read them by itself. */
  async changePolicy(rules: readonly Record<string, unknown>[]): Promise<void> {
    this.rules = rules;
    const inForce = this.controller.saysNext('in force');
    this.writePolicy();
    await inForce;
  }

  /** Lets a guest record from now on; resolves when the backend knows, which it need not when no stream is connected. */
  async allowCapture(guest: Guest): Promise<void> {
    this.recorders.add(guest.domain.uuid);
    this.writePolicy();
    await this.controller.reload();
    await this.captureNodeIs(guest, 'capture', '1');
  }

  /** Takes it back; resolves when nothing flows to the guest any more. */
  async denyCapture(guest: Guest): Promise<void> {
    this.forgetRecorder(guest);
    await this.controller.reload();
    await this.captureNodeIs(guest, 'capture', '0');
    await this.captureNodeIs(guest, 'active', '0');
  }

  /** Takes it out of the policy; xen-audiod, if it runs, reads that soon. */
  forgetRecorder(guest: Guest): void {
    this.recorders.delete(guest.domain.uuid);
    this.recorders.delete(guest.domain.name);
    this.writePolicy();
  }

  /** Waits for a node of the guest's capture stream, when it has one that is connected. */
  private async captureNodeIs(guest: Guest, node: string, wanted: string): Promise<void> {
    let found: string | undefined;
    const isSo = async (): Promise<boolean> => {
      found = await this.captureNode(guest, node);
      return found === undefined || found === wanted;
    };
    await waitFor(`${node} of ${guest.domain.name} to be ${wanted}`, isSo, {
      intervalMs: 5,
      detail: () => `it is ${found ?? 'absent'}`,
    });
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

  /** A node of the control directory of a guest's playback stream, such as `underruns`; undefined when it is absent. */
  async streamNode(guest: Guest, node: string): Promise<string | undefined> {
    return this.xen.store.tryRead(`${this.controlPath(guest)}/${PLAYBACK_STREAM}/${node}`);
  }

  /** As `streamNode`, of its capture stream. */
  async captureNode(guest: Guest, node: string): Promise<string | undefined> {
    return this.xen.store.tryRead(`${this.controlPath(guest)}/${CAPTURE_STREAM}/${node}`);
  }

  private controlPath({ domain: { domid } }: Guest): string {
    return controlPath(domid, DEVID, this.xen.backendDomid);
  }

  private backendEnvironment(): NodeJS.ProcessEnv {
    const bus = this.bus.address;
    return { ...this.xen.backendEnv, DBUS_SESSION_BUS_ADDRESS: bus, DBUS_SYSTEM_BUS_ADDRESS: bus };
  }
}

/** A card with one PCM device of a playback and a capture stream, and no limits of its own. */
export function soundCard(name: string): VsndCard {
  return {
    shortName: name,
    longName: `Sound of ${name}`,
    pcm: [
      {
        name: 'main',
        streams: [
          { type: 'p', uniqueId: 'out' },
          { type: 'c', uniqueId: 'in' },
        ],
      },
    ],
  };
}

function xenOf({ xen, driverDomain, beside }: HostOptions, dir: string): Xen {
  const kind = xen ?? process.env[XEN_OF_RUN] ?? 'emulated';
  switch (kind) {
    case 'emulated':
      return new EmulatedXen(join(dir, 'xen'), join(dir, 'xen.log'), driverDomain, emulatedXenOf(beside));
    case 'real':
      if (driverDomain === true) throw new Error('the real Xen of the tests has no driver domain');
      return new RealXen(dir);
    default:
      throw new Error(`${XEN_OF_RUN}=${kind}: expected emulated or real`);
  }
}

function emulatedXenOf(host: Host | undefined): EmulatedXen | undefined {
  if (host === undefined) return undefined;
  if (host.xen instanceof EmulatedXen) return host.xen;
  throw new Error('no host of the tests is beside a real one');
}

function subObject(config: Record<string, unknown> | undefined, key: string): object {
  const value = config?.[key];
  return typeof value === 'object' && value !== null ? value : {};
}
