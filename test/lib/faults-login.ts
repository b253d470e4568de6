// SPDX-License-Identifier: LGPL-2.1-or-later
/** What dom0's sleep looks like to xen-audiod: logind on the bus, and the program that holds its delay locks. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { BusConnection } from '../../controller/adapters/dbus/bus-connection.js';
import { waitFor } from './wait.js';

const LOGIN = 'org.freedesktop.login1';
const AUDIO = 'org.xenproject.Audio1';

/** Stands for systemd-inhibit in the programs that are started while it is put in front of PATH. */
export class InhibitStandIn {
  private readonly path = process.env['PATH'] ?? '';

  private readonly log: string;

  private constructor(private readonly dir: string) {
    this.log = join(dir, 'log');
  }

  static install(): InhibitStandIn {
    const dir = mkdtempSync(join(tmpdir(), 'xen-audio-inhibit-'));
    const standIn = new InhibitStandIn(dir);
    const program = join(dir, 'systemd-inhibit');
    const { log } = standIn;
    writeFileSync(program, `#!/bin/sh\necho "taken $*" >>'${log}'\ncat\necho released >>'${log}'\n`);
    chmodSync(program, 0o700);
    process.env['PATH'] = `${dir}:${standIn.path}`;
    return standIn;
  }

  remove(): void {
    process.env['PATH'] = this.path;
    rmSync(this.dir, { recursive: true });
  }

  /** What has been done with locks, in its order. */
  events(): string[] {
    return existsSync(this.log) ? readFileSync(this.log, 'utf8').trim().split('\n') : [];
  }

  /** Waits until the last of so many events is that. */
  async has(count: number, last: 'taken' | 'released'): Promise<void> {
    await waitFor(
      `${count} locks to be taken or released`,
      () => this.events().length === count && this.events().at(-1)?.startsWith(last),
      {
        timeoutMs: 5_000,
        detail: () => this.events().join('\n'),
      },
    );
  }
}

/** A connection to the bus that says what logind says. */
export class Login {
  private constructor(private readonly bus: BusConnection) {}

  static async connect(address: string): Promise<Login> {
    const nothing = (): void => undefined;
    const events = { call: nothing, busSignal: nothing, signal: nothing, lost: nothing };
    return new Login(await BusConnection.open(address, events));
  }

  /** Becomes logind. */
  async takeName(): Promise<void> {
    await this.bus.callBus('RequestName', 'su', LOGIN, 0);
  }

  /** To all who listen to logind. @param before whether the machine is about to sleep; false: it has woken up */
  prepareForSleep(before: boolean): void {
    this.send(before);
  }

  /** To xen-audiod alone, which need not listen. */
  async pretend(before: boolean): Promise<void> {
    this.send(before, await this.bus.askBus('GetNameOwner', 's', AUDIO));
  }

  /** Resolves when what was sent so far has been delivered. */
  async delivered(): Promise<void> {
    await this.bus.call({
      destination: await this.bus.askBus('GetNameOwner', 's', AUDIO),
      path: '/org/xenproject/Audio1',
      interface: 'org.freedesktop.DBus.Peer',
      member: 'Ping',
    });
  }

  async close(): Promise<void> {
    await this.bus.close();
  }

  private send(before: boolean, destination?: string): void {
    this.bus.send({
      ...{ type: 'signal', path: '/org/freedesktop/login1', interface: `${LOGIN}.Manager` },
      ...{ member: 'PrepareForSleep', signature: 'b', body: [before] },
      ...(destination !== undefined && { destination }),
    });
  }
}
