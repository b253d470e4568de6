// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { OwnedProcess, type ProcessEnd } from '../lib/process.js';
import { waitFor } from '../lib/wait.js';

/** What xen-audiod logs once its watches are set. */
const READY_MESSAGE = 'serving vsnd devices';
/** And what, once it has other settings. */
const REREAD_MESSAGE = 'the settings have been read again';

export interface ControllerOptions {
  dir: string;
  /** The compiled controller/main.js. */
  program: string;
  /** What ties it to dom0: XENSTORED_PATH, LD_LIBRARY_PATH, D-Bus addresses. Asked at each start. */
  env: () => NodeJS.ProcessEnv;
  /** Settings of schemas/config.ts. Asked at each start, and each time they are to be read again. */
  config: () => Record<string, unknown>;
}

/** xen-audiod of dom0. */
export class ControllerProcess {
  readonly logFile: string;
  private readonly configFile: string;
  private process: OwnedProcess | undefined;

  constructor(private readonly options: ControllerOptions) {
    this.logFile = join(options.dir, 'xen-audiod.log');
    this.configFile = join(options.dir, 'config.yaml');
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  get running(): boolean {
    return this.process?.running ?? false;
  }

  /** Starts it, and resolves when it serves devices. @throws Error with the end of its log when it does not */
  async start(): Promise<void> {
    if (this.running) {
      throw new Error('xen-audiod is running already');
    }
    const { dir, program, env } = this.options;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.writeConfig();
    const before = logSize(this.logFile);
    const daemon = OwnedProcess.start(
      'xen-audiod',
      process.execPath,
      [program, '--config', this.configFile],
      {
        env: { ...process.env, ...env() },
        cwd: dir,
        logFile: this.logFile,
      },
    );
    this.process = daemon;
    await this.says(READY_MESSAGE, before, daemon);
  }

  /** Lets it read its settings again; resolves when they are in force. @throws Error when it does not run */
  async reload(): Promise<void> {
    const daemon = this.process;
    if (daemon?.running !== true) {
      throw new Error('xen-audiod does not run');
    }
    this.writeConfig();
    const before = logSize(this.logFile);
    daemon.signal('SIGHUP');
    await this.says(REREAD_MESSAGE, before, daemon);
  }

  /** Resolves when it says something from now on. @throws Error when it does not run, or ends instead */
  async saysNext(message: string): Promise<void> {
    const daemon = this.process;
    if (daemon?.running !== true) {
      throw new Error('xen-audiod does not run');
    }
    await this.says(message, logSize(this.logFile), daemon);
  }

  private writeConfig(): void {
    writeFileSync(this.configFile, JSON.stringify(this.options.config(), null, 2)); // JSON is YAML
  }

  /** Waits for a message in the log from an octet on. @throws Error with the log's end when it ends instead */
  private async says(message: string, from: number, daemon: OwnedProcess): Promise<void> {
    const hasSaid = (): boolean =>
      !daemon.running || readFileSync(this.logFile).subarray(from).includes(message);
    await waitFor(`xen-audiod to say '${message}'`, hasSaid, {
      timeoutMs: 20_000,
      detail: () => daemon.logTail(),
    });
    if (!daemon.running) {
      throw new Error(`xen-audiod ended\n${daemon.logTail()}`);
    }
  }

  async stop(): Promise<ProcessEnd | undefined> {
    return this.process?.stop({ timeoutMs: 15_000 });
  }

  /** Ends it as a crash would. */
  async kill(): Promise<ProcessEnd | undefined> {
    return this.process?.kill();
  }
}

/** What earlier runs left in the log. */
function logSize(file: string): number {
  return existsSync(file) ? statSync(file).size : 0;
}
