// SPDX-License-Identifier: LGPL-2.1-or-later

/** What we use of pulseaudio2 0.5.5, as it behaves: its own typings say that `loadModule` yields nothing. */
declare module 'pulseaudio2' {
  import type { EventEmitter } from 'node:events';

  interface ModuleInfo {
    readonly name: string;
    readonly index: number;
    readonly argument: string;
  }

  interface ContextEvents {
    connection: [];
    error: [Error];
    close: [];
  }

  /** A connection to the server that `PULSE_SERVER` names when it is constructed. */
  export default class PulseAudio extends EventEmitter<ContextEvents> {
    constructor(options: { client?: string; flags?: string });
    /** An empty list also stands for a failed call. Never settles once the server is gone. */
    modules(): Promise<ModuleInfo[]>;
    /** Sinks, and sources. An empty list also stands for a failed call. */
    sink(): Promise<{ readonly name: string }[]>;
    source(): Promise<{ readonly name: string }[]>;
    /** Resolves to 0xffffffff when the server did not load the module. Never settles once the server is gone. */
    loadModule(name: string, argument: string): Promise<number>;
    /** Resolves whether or not the module was unloaded. Never settles once the server is gone. */
    unloadModule(index: number): Promise<void>;
    /** Disconnects; must be called before the object is dropped. */
    end(): void;
  }
}
