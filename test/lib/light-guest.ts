// SPDX-License-Identifier: LGPL-2.1-or-later
/** Guests without a sound server, each one small process: many of them fit on a host of the emulated Xen. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { EmulatedXen } from '../host/emulated/emulated-xen.js';
import { frontendPath } from '../host/guest.js';
import { soundCard, type Host } from '../host/host.js';
import { paths } from './paths.js';
import { OwnedProcess, tailOf } from './process.js';
import { Toolstack } from './toolstack.js';
import { waitFor } from './wait.js';

const PROGRAM = join(paths.root, 'build', 'e2e-tools', 'light-guest');
const DEVID = 0;
/** Apart from those that the host gives. */
const FIRST_DOMID = 1000;
const CONNECT_LIMIT_MS = 30_000;
/** LIBXL_INIT_TIMEOUT is 10 s; here a failure says more when it is the guest's. */
const TOOLSTACK_LIMIT_MS = 30_000;

export type Command = 'play' | 'stop' | 'record' | 'deafen';

/** Makes light guests on a host, and ends them. */
export class LightGuests {
  readonly all: LightGuest[] = [];
  private readonly xen: EmulatedXen;
  private readonly toolstack: Toolstack;
  private nextDomid = FIRST_DOMID;

  /** @throws Error when the host's Xen is a real one */
  constructor(private readonly host: Host) {
    if (!(host.xen instanceof EmulatedXen)) throw new Error('light guests need the emulated Xen');
    this.xen = host.xen;
    this.toolstack = new Toolstack(host.xen.store, TOOLSTACK_LIMIT_MS);
  }

  /** A running domain without a card, whose frontend waits for one. */
  async create(name: string): Promise<LightGuest> {
    const domain = { key: name, domid: this.nextDomid++, name, uuid: randomUUID() };
    await this.xen.control.createDomain(domain);
    const guest = new LightGuest(this.xen, this.host.dir, this.toolstack, domain, () => this.nextDomid++);
    this.all.push(guest);
    await guest.start();
    return guest;
  }

  /** Ends their frontends and their domains, whose cards have gone. */
  async endDomains(): Promise<void> {
    for (const guest of this.all.splice(0)) {
      await guest.kill();
      await this.xen.control.destroyDomain(guest.key);
    }
  }

  /** Ends them as crashes would; their domains end with the host. */
  async stop(): Promise<void> {
    await Promise.all(this.all.splice(0).map((guest) => guest.kill()));
  }
}

interface Identity {
  readonly key: string;
  domid: number;
  readonly name: string;
  readonly uuid: string;
}

export class LightGuest {
  private process: OwnedProcess | undefined;
  private readonly logFile: string;
  private said = '';
  /** What it said before its card was attached last. */
  private past = 0;

  constructor(
    private readonly xen: EmulatedXen,
    dir: string,
    private readonly toolstack: Toolstack,
    private readonly identity: Identity,
    private readonly freshDomid: () => number,
  ) {
    this.logFile = join(dir, `${identity.name}.log`);
  }

  get key(): string {
    return this.identity.key;
  }

  get domid(): number {
    return this.identity.domid;
  }

  get name(): string {
    return this.identity.name;
  }

  get uuid(): string {
    return this.identity.uuid;
  }

  /** Starts its frontend; resolves when it would see a card. */
  async start(): Promise<void> {
    const { control } = this.xen;
    const env = {
      PATH: process.env['PATH'],
      XENSTORED_PATH: control.xenstorePath(this.identity.key),
      LD_LIBRARY_PATH: control.libraryPath(this.identity.key),
    };
    const frontend = OwnedProcess.start(`the frontend of ${this.name}`, PROGRAM, [], {
      env,
      logFile: this.logFile,
      pipe: { stdin: true, stdout: true },
    });
    this.process = frontend;
    this.said = '';
    this.past = 0;
    frontend.stdout.on('data', (octets: Buffer) => (this.said += octets.toString()));
    await this.says('watching');
  }

  /** Attaches its card, as `xl vsnd-attach` does. @throws ToolstackError when the backend does not answer in time */
  async attach(): Promise<void> {
    this.past = this.said.length;
    await this.toolstack.addVsnd(this.domid, DEVID, soundCard(this.name));
  }

  /** Detaches it. @throws ToolstackError when the backend does not let go of it in time */
  async detach(): Promise<void> {
    await this.toolstack.removeVsnd(this.domid, DEVID);
  }

  /** Resolves when frontend and backend are connected, with the card that was attached last. */
  async connected(): Promise<void> {
    await this.says('connected');
  }

  order(command: Command): void {
    this.process?.stdin.write(`${command}\n`);
  }

  /** What it said went wrong with its streams since it was started, a line each. */
  get failures(): string[] {
    return this.said.split('\n').filter((line) => line.startsWith('failed'));
  }

  /** Its frontend dies. */
  async kill(): Promise<void> {
    await this.process?.kill();
  }

  /** The domain comes back under another domid, as after `xl save` and `xl restore`: its program goes on, its card is new. */
  async resume(): Promise<void> {
    const before = this.domid;
    this.identity.domid = this.freshDomid();
    await this.xen.control.changeDomid(this.identity.key, this.domid);
    await this.forgetCard(before);
    await this.attach();
  }

  /** The domain dies with everything in it, and is made anew under another domid. */
  async reboot(): Promise<void> {
    const before = this.domid;
    await this.kill();
    await this.xen.control.destroyDomain(this.identity.key);
    await this.forgetCard(before);
    this.identity.domid = this.freshDomid();
    await this.xen.control.createDomain(this.identity);
    await this.start();
    await this.attach();
  }

  /** What the toolstack removes of a card whose domain is gone. */
  private async forgetCard(domid: number): Promise<void> {
    const { store } = this.xen;
    const backend = `/local/domain/0/backend/vsnd/${domid}/${DEVID}`;
    if ((await store.tryRead(`${backend}/state`)) !== undefined) {
      await this.toolstack.removeVsnd(domid, DEVID);
    }
    const leftover = `/local/domain/0/backend/vsnd/${domid}`;
    if ((await store.tryRead(leftover)) !== undefined) await store.rm(leftover);
    if ((await store.tryRead(frontendPath(domid, DEVID))) !== undefined) {
      await store.rm(`/local/domain/${domid}`);
    }
  }

  /** Waits until the last of its words on the card is this one. */
  private async says(word: string): Promise<void> {
    const isLast = (): boolean => {
      const words = this.said
        .slice(this.past)
        .split('\n')
        .filter((line) => /^(watching|connected|lost)$/.test(line));
      return words.at(-1) === word || this.process?.running === false;
    };
    await waitFor(`${this.name} (domain ${this.domid}) to say '${word}'`, isLast, {
      timeoutMs: CONNECT_LIMIT_MS,
      detail: () => `it said ${JSON.stringify(this.said)}\n${tailOf(this.logFile)}`,
    });
    if (this.process?.running === false) {
      throw new Error(`the frontend of ${this.name} ended\n${tailOf(this.logFile)}`);
    }
  }
}
