// SPDX-License-Identifier: LGPL-2.1-or-later
import { formatModargs } from '../sndif/modargs.js';
import {
  backendModuleArguments,
  servesSameRings,
  type BackendModuleSetup,
} from '../sndif/module-arguments.js';
import { hasCode, messageOf, XenAudioError } from '../util/errors.js';
import { quoted } from '../util/text.js';
import { controlPath, type DeviceId, type StreamId } from '../xenbus/paths.js';
import type { CaptureConsent } from './capture-consent.js';
import type { CaptureStream } from './capture-stream.js';
import type { ControlDirectory } from './control-directory.js';
import type { Guest } from './guest.js';
import type { PulseModule, PulsePort, Watch, XenstorePort } from './ports.js';

/** How the streams of a card are, by what their modules say. */
export interface StreamsCondition {
  readonly streams: 'fine' | 'lost' | 'broken';
  readonly reason: string;
}

/** What is known of a stream before its module is chosen. */
export interface StreamSetup extends Omit<BackendModuleSetup, 'controlPath' | 'guestName' | 'guestUuid'> {
  readonly guest: Guest;
}

interface ConnectedStream {
  readonly module: PulseModule;
  readonly control: string;
  readonly watch: Watch;
}

/** What a set of streams works with. */
export interface StreamSetContext {
  readonly ownDomid: number;
  readonly moduleName: string;
  readonly xenstore: XenstorePort;
  readonly pulse: PulsePort;
  readonly control: ControlDirectory;
  readonly consent: CaptureConsent;
}

const FINE: StreamsCondition = { streams: 'fine', reason: '' };

/**
 * The connected streams of one card: a backend module and a control directory each. Used by one device's queue, so never
 * twice at a time. `release` frees everything, also after a `load` that failed half-way.
 */
export class StreamSet {
  readonly #streams: ConnectedStream[] = [];
  readonly #captures: CaptureStream[] = [];
  #unlisted: string | undefined;

  constructor(
    private readonly context: StreamSetContext,
    private readonly id: DeviceId,
    /** Called when a module has changed its stream's state. */
    private readonly onStateChange: () => void,
  ) {}

  get size(): number {
    return this.#streams.length;
  }

  /** Loads one stream's module. Throws `pulse-refused` with the module's own reason when it gave one. */
  async load(setup: StreamSetup): Promise<void> {
    const control = await this.context.control.create(setup.id);
    await this.#beginCapture(setup, control);
    const argument = formatModargs(backendModuleArguments(this.#complete(setup)));
    try {
      const module = await this.context.pulse.loadModule(this.context.moduleName, argument);
      await this.#add(module, control);
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
    for (const [position, module] of found.entries()) {
      const setup = setups[position];
      if (module === undefined || setup === undefined) continue;
      await this.#beginCapture(setup, this.#controlPath(setup.id));
      await this.#add(module, this.#controlPath(setup.id));
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
      const state = (await this.context.xenstore.read(`${stream.control}/state`)) ?? '';
      if (state.startsWith('broken')) return { streams: 'broken', reason: quoted(state, 256) };
      if (state.startsWith('lost')) return { streams: 'lost', reason: quoted(state, 256) };
    }
    return FINE;
  }

  /** Unloads every module, makes sure that they are gone, and removes the control directories. */
  async release(): Promise<void> {
    for (let stream = this.#streams.at(-1); stream !== undefined; stream = this.#streams.at(-1)) {
      await stream.watch.remove();
      await unloadIfUp(this.context.pulse, stream.module);
      this.#streams.pop();
    }
    this.#unlisted = undefined;
    await this.#endCaptures();
    await this.context.control.removeCard(this.id);
  }

  /** Ends the watches; modules and control directories stay for the next controller. */
  async leave(): Promise<void> {
    const watches = this.#streams.map((stream) => stream.watch);
    this.#streams.length = 0;
    for (const watch of watches) await watch.remove();
    await this.#endCaptures();
  }

  /** Says whether a capture stream may record, before there is a module that could. */
  async #beginCapture({ direction, id, guest }: StreamSetup, control: string): Promise<void> {
    if (direction === 'capture') this.#captures.push(await this.context.consent.begin(id, guest, control));
  }

  async #endCaptures(): Promise<void> {
    for (const capture of this.#captures.splice(0)) await this.context.consent.end(capture);
  }

  async #add(module: PulseModule, control: string): Promise<void> {
    const watch = await this.context.xenstore.watch(`${control}/state`, this.onStateChange);
    this.#streams.push({ module, control, watch });
  }

  #controlPath(id: StreamId): string {
    return controlPath(this.context.ownDomid, id);
  }

  #complete(setup: StreamSetup): BackendModuleSetup {
    const { name, uuid } = setup.guest;
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
