// SPDX-License-Identifier: LGPL-2.1-or-later
/** Starts the emulated Xen, or finds a running one, and plays the toolstack through its control socket. */
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { z } from 'zod';
import { paths } from '../lib/paths.js';
import { OwnedProcess, type ProcessEnd } from '../lib/process.js';
import { within } from '../lib/wait.js';
import { XenstoreClient } from '../lib/xenstore-client.js';
import { ControlResponse, Counts, DOM0, type ControlRequest } from './control-protocol.js';
import type { Fault } from './faults.js';

export { DOM0 };

const START_TIMEOUT_MS = 10_000;
const CALL_TIMEOUT_MS = 5000;

export interface EmulatorOptions {
  /** A directory that does not exist yet, best on a tmpfs; at most 60 octets long, for the sockets in it. */
  readonly directory: string;
  /** Where the stand-ins were built; default build/stand-ins. */
  readonly standInsDir?: string;
  /** Receives what the emulator says of misbehaving clients. */
  readonly logFile?: string;
}

export interface NewDomain {
  /** Names the domain for its whole life, and its directory. */
  readonly key: string;
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  /** The key of its host's dom0; default `DOM0`. */
  readonly host?: string;
}

type Operation = ControlRequest extends infer Request
  ? Request extends unknown
    ? Omit<Request, 'id'>
    : never
  : never;

interface Waiter {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Emulator {
  readonly #waiting = new Map<number, Waiter>();
  #lastId = 0;

  private constructor(
    readonly directory: string,
    private readonly socket: net.Socket,
    private readonly process: OwnedProcess | undefined,
  ) {
    readline.createInterface({ input: socket }).on('line', (line) => {
      this.#dispatch(line);
    });
    // What is still awaited is refused when 'close' follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`the emulator at ${directory} is gone`));
      this.#waiting.clear();
    });
  }

  /** Starts an emulator, which ends with stop(), and with this process at the latest. */
  static async start(options: EmulatorOptions): Promise<Emulator> {
    const { directory, standInsDir = paths.standInsDir, logFile } = options;
    const args = [paths.emulatorMain, '--dir', directory, '--lib', standInsDir];
    const child = OwnedProcess.start('emulator', process.execPath, args, {
      pipe: { stdout: true },
      ...(logFile === undefined ? {} : { logFile }),
    });
    try {
      await within(`the emulator in ${directory} to be ready`, START_TIMEOUT_MS, ready(child));
      return new Emulator(directory, await connect(directory), child);
    } catch (error) {
      await child.stop();
      throw error;
    }
  }

  /** Connects to a running emulator; stop() leaves it running. */
  static async attach(directory: string): Promise<Emulator> {
    return new Emulator(directory, await connect(directory), undefined);
  }

  /** Ends the emulator if it was started here; its directory goes with it. */
  async stop(): Promise<ProcessEnd | undefined> {
    this.socket.destroy();
    return this.process?.stop();
  }

  async createDomain(domain: NewDomain): Promise<void> {
    await this.#call({ op: 'create', ...domain });
  }

  /** Makes another host, which shares nothing with the others but that domains can migrate. @param key of its dom0 */
  async createHost(key: string): Promise<void> {
    await this.#call({ op: 'create-host', key });
  }

  /** Ends a domain with all it holds. Processes of it should have ended before, as they would with a real one. */
  async destroyDomain(key: string): Promise<void> {
    await this.#call({ op: 'destroy', key });
  }

  /**
   * Resumes a domain under another domid: its ports and grants are dead, its watches fire once.
   * @param host the key of the dom0 of the host where it goes on; default: where it is
   */
  async changeDomid(key: string, domid: number, host?: string): Promise<void> {
    await this.#call({ op: 'change-domid', key, domid, ...(host !== undefined && { host }) });
  }

  /** @param host the key of the host's dom0 */
  async counts(host = DOM0): Promise<Counts> {
    return Counts.parse(await this.#call({ op: 'counts', host }));
  }

  /** A domain's ports, for debugging. */
  async ports(key: string): Promise<unknown> {
    return this.#call({ op: 'ports', key });
  }

  /** A domain's grants, for debugging. */
  async grants(key: string): Promise<unknown> {
    return this.#call({ op: 'grants', key });
  }

  /**
   * Lets calls of a domain fail although nothing is wrong with them; replaces what was ordered of the same kind before.
   * @param after so many succeed first
   * @param times 0 calls it off
   */
  async fail(key: string, fault: Fault, after = 0, times = 1): Promise<void> {
    await this.#call({ op: 'fail', key, fault, after, times });
  }

  /** How many calls of a domain are still to fail. */
  async faultsLeft(key: string): Promise<number> {
    return z.int().parse(await this.#call({ op: 'faults-left', key }));
  }

  /** The next event to, or from, each port that a domain has now does not arrive. */
  async loseEvents(key: string, way: 'to' | 'from'): Promise<void> {
    await this.#call({ op: 'lose-events', key, way });
  }

  /** The path for XENSTORED_PATH. */
  xenstorePath(key: string): string {
    return path.join(this.directory, 'domains', key, 'xenstored.sock');
  }

  /** The directory for LD_LIBRARY_PATH. */
  libraryPath(key: string): string {
    return path.join(this.directory, 'domains', key, 'lib');
  }

  /** The environment that puts a program into a domain. */
  environment(key: string): NodeJS.ProcessEnv {
    return { ...process.env, XENSTORED_PATH: this.xenstorePath(key), LD_LIBRARY_PATH: this.libraryPath(key) };
  }

  /** A xenstore client in a domain; the caller closes it. */
  async openXenstore(key: string): Promise<XenstoreClient> {
    return XenstoreClient.open(this.xenstorePath(key));
  }

  async #call(operation: Operation): Promise<unknown> {
    const id = ++this.#lastId;
    const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.socket.write(`${JSON.stringify({ id, ...operation })}\n`);
    return within(`the emulator's answer to '${operation.op}'`, CALL_TIMEOUT_MS, answer);
  }

  #dispatch(line: string): void {
    const response = ControlResponse.parse(JSON.parse(line));
    const waiter = this.#waiting.get(response.id ?? 0);
    this.#waiting.delete(response.id ?? 0);
    if (response.ok) waiter?.resolve(response.result);
    else waiter?.reject(new Error(`emulator: ${response.error}`));
  }
}

const ReadyLine = z.literal('ready');

async function ready(child: OwnedProcess): Promise<void> {
  const lines = readline.createInterface({ input: child.stdout });
  const first = new Promise<string>((resolve) => lines.once('line', resolve));
  const ended = child.ended.then((end) => {
    throw new Error(
      `the emulator ended with ${end.code ?? end.signal ?? ''} instead of starting\n${child.logTail()}`,
    );
  });
  ReadyLine.parse(await Promise.race([first, ended]));
}

async function connect(directory: string): Promise<net.Socket> {
  const socket = net.connect(path.join(directory, 'control.sock'));
  const connected = new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  await within(`the emulator's control socket in ${directory}`, CALL_TIMEOUT_MS, connected);
  return socket;
}
