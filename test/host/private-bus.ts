// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { OwnedProcess } from '../lib/process.js';
import { waitFor } from '../lib/wait.js';

/** A D-Bus of our own, where everyone who can reach the socket may do everything. */
export class PrivateBus {
  readonly address: string;
  private readonly socket: string;
  private process: OwnedProcess | undefined;

  constructor(private readonly dir: string) {
    this.socket = join(dir, 'bus');
    this.address = `unix:path=${this.socket}`;
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  async start(): Promise<void> {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    const config = join(this.dir, 'bus.conf');
    writeFileSync(config, busConfig(this.address));
    const bus = OwnedProcess.start('dbus-daemon', 'dbus-daemon', [`--config-file=${config}`, '--nofork'], {
      cwd: this.dir,
      logFile: join(this.dir, 'dbus-daemon.log'),
    });
    this.process = bus;
    await waitFor('dbus-daemon to listen', () => !bus.running || existsSync(this.socket), {
      detail: () => bus.logTail(),
    });
    if (!bus.running) {
      throw new Error(`dbus-daemon ended at its start\n${bus.logTail()}`);
    }
  }

  async stop(): Promise<void> {
    await this.process?.stop();
  }
}

function busConfig(address: string): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>${address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;
}
