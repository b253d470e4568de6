// SPDX-License-Identifier: LGPL-2.1-or-later
/** What desktop tools do over D-Bus, with busctl: a client that has nothing in common with the daemon. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Guest } from '../host/guest.js';
import type { Host } from '../host/host.js';
import { paths } from './paths.js';
import { OwnedProcess, runCommand, type CommandResult } from './process.js';
import { waitFor } from './wait.js';

const NAME = 'org.xenproject.Audio1';
const ROOT = '/org/xenproject/Audio1';

/** 100 % in PulseAudio, which D-Bus calls 1.0. */
export const NORM = 65_536;

export class Desktop {
  /** @param path where xen-audioctl finds programs */
  constructor(
    private readonly host: Host,
    private readonly path = process.env['PATH'],
  ) {}

  static guestPath(guest: Guest): string {
    return `${ROOT}/guest/u${guest.domain.uuid.replaceAll('-', '_')}`;
  }

  /** Calls a method of the manager. @throws Error with the D-Bus error */
  async manager(method: string, ...values: string[]): Promise<unknown> {
    return this.busctl('call', NAME, ROOT, `${NAME}.Manager1`, method, ...values);
  }

  /** Calls a method of a guest. @throws Error with the D-Bus error */
  async call(guest: Guest, method: string, ...values: string[]): Promise<unknown> {
    return this.busctl('call', NAME, Desktop.guestPath(guest), `${NAME}.Guest1`, method, ...values);
  }

  async get(guest: Guest, property: string): Promise<unknown> {
    return this.busctl('get-property', NAME, Desktop.guestPath(guest), `${NAME}.Guest1`, property);
  }

  async set(guest: Guest, property: string, type: string, value: string): Promise<void> {
    const path = Desktop.guestPath(guest);
    await this.busctl('set-property', NAME, path, `${NAME}.Guest1`, property, type, value);
  }

  /** Volume as PulseAudio counts. */
  async volume(guest: Guest): Promise<number> {
    return Math.round(Number(await this.get(guest, 'Volume')) * NORM);
  }

  async setVolume(guest: Guest, volume: number): Promise<void> {
    await this.set(guest, 'Volume', 'd', String(volume / NORM));
  }

  /** Runs xen-audioctl. @returns its output @throws Error with what it said when it fails */
  async ctl(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryCtl(...args);
    assert.equal(code, 0, `xen-audioctl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** Runs xen-audioctl, however it ends. */
  async tryCtl(...args: string[]): Promise<CommandResult> {
    const program = join(paths.root, 'build/js/controller/ctl/main.js');
    const { address } = this.host.bus;
    const env = {
      ...process.env,
      ...{ PATH: this.path, XEN_AUDIO_BUS: address, DBUS_SYSTEM_BUS_ADDRESS: address },
    };
    return runCommand(process.execPath, [program, ...args], { env });
  }

  /** Writes what is on the bus from now on into a file, a line of JSON a message; the caller owns the process. */
  async monitor(file: string): Promise<OwnedProcess> {
    const args = [`--address=${this.host.bus.address}`, '--json=short', 'monitor', NAME];
    const logFile = join(this.host.dir, 'monitor.log');
    const monitor = OwnedProcess.start('busctl monitor', 'busctl', args, { outputFile: file, logFile });
    try {
      await waitFor('busctl to listen', () => readFileSync(logFile, 'utf8').includes('Monitoring bus'), {
        detail: () => monitor.logTail(),
      });
      return monitor;
    } catch (error) {
      await monitor.stop();
      throw error;
    }
  }

  private async busctl(...args: string[]): Promise<unknown> {
    const all = [`--address=${this.host.bus.address}`, '--json=short', '--no-pager', ...args];
    const { code, stdout, stderr } = await runCommand('busctl', all);
    if (code !== 0) {
      throw new Error(`busctl ${args.join(' ')}: ${stderr.trim()}`);
    }
    return stdout.trim() === '' ? undefined : (JSON.parse(stdout) as { data: unknown }).data;
  }
}
