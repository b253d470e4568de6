// SPDX-License-Identifier: LGPL-2.1-or-later
import type { PulseModule } from '../../../controller/device/ports.js';
import { tryParseModargs } from '../../../controller/sndif/modargs.js';
import type { FakeXenstore } from '../fake-ports.js';

/** A sound server whose backend modules map what their frontend has granted, and say how they are. */
export class SoundServer {
  runs = true;
  readonly loaded: PulseModule[] = [];
  #nextIndex = 1;

  constructor(
    private readonly store: FakeXenstore,
    /** Whether a guest has granted a page of this number. */
    private readonly isGranted: (ref: string) => boolean,
  ) {}

  /** Undefined: its rings cannot be mapped. */
  load(name: string, argument: string): PulseModule | undefined {
    const module = { index: this.#nextIndex, name, argument };
    const values = argumentsOf(module);
    const granted = [values['ring_ref'], values['evt_ring_ref']].every((ref) => this.isGranted(ref ?? ''));
    this.#say(module, granted ? 'connected' : 'broken: its rings cannot be mapped');
    if (!granted) return undefined;
    this.#nextIndex += 1;
    this.loaded.push(module);
    return module;
  }

  unload(module: PulseModule): void {
    const position = this.loaded.findIndex(({ index }) => index === module.index);
    if (position < 0) return;
    this.loaded.splice(position, 1);
    this.#say(module, 'lost: the module was unloaded');
  }

  die(): void {
    this.runs = false;
    this.loaded.length = 0;
  }

  /** All modules say something of their streams. */
  say(state: string): void {
    for (const module of this.loaded) this.#say(module, state);
  }

  of(domid: number): PulseModule[] {
    return this.loaded.filter((module) => argumentsOf(module)['domid'] === String(domid));
  }

  /** The number of the request ring that a module serves. */
  static ringOf(module: PulseModule): string {
    return argumentsOf(module)['ring_ref'] ?? '';
  }

  #say(module: PulseModule, state: string): void {
    const path = argumentsOf(module)['control'] ?? '';
    if (this.store.nodes.has(path)) this.store.put(`${path}/state`, state);
  }
}

const parsed = new WeakMap<PulseModule, Readonly<Record<string, string>>>();

const argumentsOf = (module: PulseModule): Readonly<Record<string, string>> => {
  const known = parsed.get(module) ?? tryParseModargs(module.argument) ?? {};
  parsed.set(module, known);
  return known;
};
