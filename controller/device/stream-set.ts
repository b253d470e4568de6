// SPDX-License-Identifier: LGPL-2.1-or-later
import { formatModargs } from '../sndif/modargs.js';
import {
  backendModuleArguments,
  servesSameRings,
  type BackendModuleSetup,
} from '../sndif/module-arguments.js';
import type { Guest } from '../guest/guest.js';
import { hasCode, messageOf, XenAudioError } from '../util/errors.js';
import { quoted } from '../util/text.js';
import { controlPath, type DeviceId, type StreamId } from '../xenbus/paths.js';
import type { ControlDirectory } from './control-directory.js';
import type { PulseModule, PulsePort, Watch, XenstorePort } from './ports.js';
import type { WatchedNodes } from './watched-nodes.js';

/** How the streams of a card are, by what their modules say. */
export interface StreamsCondition {
  readonly streams: 'fine' | 'lost' | 'broken';
  readonly reason: string;
}

/** What is known of a stream before its module is chosen. */
export type StreamSetup = Omit<BackendModuleSetup, 'controlPath' | 'guestName' | 'guestUuid'>;

interface ConnectedStream {
  readonly module: PulseModule;
  readonly control: string;
  readonly linuxQuirks: boolean;
  /** Absent while it is being made. */
  watch?: Watch;
}

/** What a set of streams works with. */
export interface StreamSetContext {
  readonly ownDomid: number;
  readonly moduleName: string;
  readonly xenstore: XenstorePort;
  readonly nodes: WatchedNodes;
  readonly pulse: PulsePort;
  readonly control: ControlDirectory;
}

const FINE: StreamsCondition = { streams: 'fine', reason: '' };

/**
 * The connected streams of one card: a backend module and a control directory each. Used by one device's queue, so never
 * twice at a time. `release` frees everything, also after a `load` that failed half-way.
 */
export class StreamSet {
  readonly #streams: ConnectedStream[] = [];
  /** Those whose guest knows of them. */
  readonly #begun: StreamId[] = [];
  #unlisted: string | undefined;

  constructor(
    private readonly context: StreamSetContext,
    private readonly id: DeviceId,
    private readonly guest: Guest,
    /** Called when a module has changed its stream's state, which is one of the nodes. */
    private readonly onStateChange: (path: string) => void,
  ) {}

  get size(): number {
    return this.#streams.length;
  }

  /** Whether there are streams that a frontend like Linux's has rings of. */
  get servesLinux(): boolean {
    return this.#streams.some((stream) => stream.linuxQuirks);
  }

  /** Loads one stream's module. Throws `pulse-refused` with the module's own reason when it gave one. */
  async load(setup: StreamSetup): Promise<void> {
    const control = await this.context.control.create(setup.id);
    await this.#begin(setup, control);
    const argument = formatModargs(backendModuleArguments(this.#complete(setup)));
    try {
      const module = await this.context.pulse.loadModule(this.context.moduleName, argument);
      await this.#add(setup, module, control);
    } catch (error) {
      const state = await this.context.xenstore.read(`${control}/state`);
      if (!hasCode(error, 'pulse-refused') || state === undefined) throw error;
      throw new XenAudioError(
        'pulse-refused',
        `its module says ${quoted(state, 256)}, loaded with ${argument}`,
        {
          cause: error,
        },
      );
    }
  }

  /** Takes over modules that serve exactly these streams. Returns whether all were there; if not, none is taken. */
  async adopt(setups: readonly StreamSetup[], modules: readonly PulseModule[]): Promise<boolean> {
    const found = setups.map((setup) =>
      modules.find((module) => servesSameRings(module.argument, this.#complete(setup))),
    );
    if (found.includes(undefined)) return false;
    try {
      for (const [position, module] of found.entries()) {
        const setup = setups[position];
        if (module === undefined || setup === undefined) continue;
        await this.#begin(setup, this.#controlPath(setup.id));
        await this.#add(setup, module, this.#controlPath(setup.id));
      }
    } catch (error) {
      await this.leave(); // else the next try takes them twice
      throw error;
    }
    return true;
  }

  /** Compares with what the server has loaded for this card. Returns the modules that are not ours. */
  verify(modules: readonly PulseModule[]): PulseModule[] {
    const same = (a: PulseModule, b: PulseModule): boolean =>
      a.index === b.index && a.argument === b.argument;
    const gone = this.#streams.find((stream) => !modules.some((module) => same(module, stream.module)));
    this.#unlisted = gone === undefined ? undefined : `module ${gone.module.index} is no longer loaded`;
    return modules.filter((module) => !this.#streams.some((stream) => same(module, stream.module)));
  }

  async condition(): Promise<StreamsCondition> {
    if (this.#unlisted !== undefined) return { streams: 'lost', reason: this.#unlisted };
    for (const stream of this.#streams) {
      const state = (await this.context.nodes.read(`${stream.control}/state`)) ?? '';
      if (state.startsWith('broken')) return { streams: 'broken', reason: quoted(state, 256) };
      if (state.startsWith('lost')) return { streams: 'lost', reason: quoted(state, 256) };
    }
    return FINE;
  }

  /** Unloads every module, makes sure that they are gone, and removes the control directories. */
  async release(): Promise<void> {
    for (let stream = this.#streams.at(-1); stream !== undefined; stream = this.#streams.at(-1)) {
      await stream.watch?.remove();
      await unloadIfUp(this.context.pulse, stream.module);
      this.#streams.pop();
    }
    this.#unlisted = undefined;
    await this.#end(false);
    await this.context.control.removeCard(this.id);
  }

  /** Ends the watches; modules and control directories stay for the next controller. */
  async leave(): Promise<void> {
    const watches = this.#streams.map((stream) => stream.watch);
    this.#streams.length = 0;
    for (const watch of watches) await watch?.remove();
    await this.#end(true);
  }

  /** Says what a stream may, before there is a module that could. */
  async #begin({ direction, id }: StreamSetup, control: string): Promise<void> {
    this.#begun.push(id);
    await this.guest.beginStream(id, direction, control);
  }

  async #end(kept: boolean): Promise<void> {
    for (let id = this.#begun.at(-1); id !== undefined; id = this.#begun.at(-1)) {
      await this.guest.endStream(id, kept);
      this.#begun.pop();
    }
  }

  async #add(setup: StreamSetup, module: PulseModule, control: string): Promise<void> {
    const stream: ConnectedStream = { module, control, linuxQuirks: setup.card.linuxQuirks };
    this.#streams.push(stream); // before what may fail: it is released with the others
    stream.watch = await this.context.xenstore.watch(`${control}/state`, this.onStateChange);
    this.context.nodes.changed(control);
  }

  #controlPath(id: StreamId): string {
    return controlPath(this.context.ownDomid, id);
  }

  #complete(setup: StreamSetup): BackendModuleSetup {
    const { name, uuid } = this.guest.identity;
    return { ...setup, guestName: name, guestUuid: uuid, controlPath: this.#controlPath(setup.id) };
  }
}

/** Unloads a module; a server that is down has none left, and is asked again when it comes back. */
export const unloadIfUp = async (pulse: PulsePort, module: PulseModule): Promise<void> => {
  if (!pulse.isUp) return;
  try {
    await pulse.unloadModule(module);
  } catch (error) {
    if (hasCode(error, 'pulse-down')) return;
    throw new XenAudioError('pulse-refused', `module ${module.index} stays loaded: ${messageOf(error)}`, {
      cause: error,
    });
  }
};
