// SPDX-License-Identifier: LGPL-2.1-or-later

/** Reading xenstore, inside a transaction or outside. All throw XenAudioError `xenstore`, `xenstore-denied`, `timeout`. */
export interface XenstoreReader {
  /** The value of a node, cut after 4097 octets; undefined when it is absent. */
  read(path: string): Promise<string | undefined>;
  /** Names of a node's children; undefined when the node is absent. */
  list(path: string): Promise<string[] | undefined>;
}

/** What a node must hold. */
export interface NodeGuard {
  readonly node: string;
  readonly value: string;
}

/** Who may use a node, and what is made in it later. A domain with a toolstack's rights may do everything anyway. */
export interface NodePermissions {
  readonly ownerDomid: number;
  /** Domains that may read it. */
  readonly readerDomids: readonly number[];
}

/** Reads and writes that take effect together, or not at all. */
export interface XenstoreTransaction extends XenstoreReader {
  /** Makes an empty directory, in the place of one that is there. */
  makeDirectory(path: string, permissions: NodePermissions): Promise<void>;
  /** Writes a node, which inherits its directory's permissions when it is new. */
  write(path: string, value: string): Promise<void>;
  /** Removes a node with its children; no error when it is absent. */
  remove(path: string): Promise<void>;
}

/** Ends a watch. */
export interface Watch {
  remove(): Promise<void>;
}

/** The domain's own connection to xenstore. */
export interface XenstorePort extends XenstoreReader {
  /**
   * Writes nodes below `directory` in one transaction, if its node `guard` still holds `value`: a directory that the
   * toolstack removed is not made anew, and what it wrote meanwhile is not written over. Returns whether it wrote.
   */
  writeIf(directory: string, guard: NodeGuard, nodes: Readonly<Record<string, string>>): Promise<boolean>;
  /** Writes a node, which inherits its directory's permissions when it is new. */
  write(path: string, value: string): Promise<void>;
  /** Makes a node that only `ownerDomid` (and dom0) can read and write. */
  makePrivate(path: string, ownerDomid: number): Promise<void>;
  /** Removes a node with its children; no error when it is absent. */
  remove(path: string): Promise<void>;
  /** Reads a consistent picture; repeated a few times when others write meanwhile. */
  snapshot<T>(body: (reader: XenstoreReader) => Promise<T>): Promise<T>;
  /**
   * Runs `body` in a transaction; again, a few times, when others wrote what it read. What it throws ends the
   * transaction without effect.
   */
  transaction<T>(body: (transaction: XenstoreTransaction) => Promise<T>): Promise<T>;
  /** Calls `listener` at once and after each change at or below `path`; several changes may give one call. */
  watch(path: string, listener: (changedPath: string) => void): Promise<Watch>;
  /** A driver domain may not know, and hears yes: there the toolstack takes a dead domain's cards away. */
  isDomainIntroduced(domid: number): Promise<boolean>;
}

/** A module of the sound server. */
export interface PulseModule {
  readonly index: number;
  readonly name: string;
  readonly argument: string;
}

/** The sound server. All calls throw XenAudioError `pulse-down` when it does not answer. */
export interface PulsePort {
  readonly isUp: boolean;
  modules(): Promise<PulseModule[]>;
  /** Names of its sinks, and of its sources. */
  sinks(): Promise<string[]>;
  sources(): Promise<string[]>;
  /** Loads a module and makes sure it is there. Throws `pulse-refused` when the server did not load it. */
  loadModule(name: string, argument: string): Promise<PulseModule>;
  /** Unloads a module and makes sure it is gone; no error when it has gone before. */
  unloadModule(module: PulseModule): Promise<void>;
  /**
   * Calls `listener` when the server came (back) or went; loaded modules must then be read again. The returned function
   * ends that.
   */
  onChange(listener: () => void): () => void;
}

/** Time, replaceable in tests. */
export interface ClockPort {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Milliseconds of CLOCK_REALTIME. */
  wallMs(): number;
  /** Calls `listener` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, listener: () => void): () => void;
}

/** A message, or how to make it when its level is wanted. */
export type LogMessage = string | (() => string);

/** Whom a message is about, for the fields of the journal. */
export interface LogSubject {
  /** The guest's name, fit to be shown. */
  readonly guest?: string;
  /** `domid/devid` */
  readonly device?: string;
}

/** One line per event; levels as in docs/architecture.md. */
export interface LogPort {
  /** Someone must look. */
  error(topic: string, message: LogMessage, subject?: LogSubject): void;
  /** Something went wrong and was recovered. */
  warning(topic: string, message: LogMessage, subject?: LogSubject): void;
  /** Life-cycle. */
  info(topic: string, message: LogMessage, subject?: LogSubject): void;
  debug(topic: string, message: LogMessage, subject?: LogSubject): void;
}
