// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { OwnedProcess, type ProcessEnd } from '../lib/process.js';
import { waitFor } from '../lib/wait.js';

/** What xen-audiod logs once its watches are set. */
const READY_MESSAGE = 'serving vsnd devices';

export interface ControllerOptions {
  dir: string;
  /** The compiled controller/main.js. */
  program: string;
  /** What ties it to dom0: XENSTORED_PATH, LD_LIBRARY_PATH, D-Bus addresses. Asked at each start. */
  env: () => NodeJS.ProcessEnv;
  /** Settings of schemas/config.ts. */
  config: Record<string, unknown>;
}

/** xen-audiod of the emulated dom0. */
export class ControllerProcess {
  readonly logFile: string;
  private process: OwnedProcess | undefined;

  constructor(private readonly options: ControllerOptions) {
    this.logFile = join(options.dir, 'xen-audiod.log');
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
    const { dir, program, env, config } = this.options;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const configFile = join(dir, 'config.yaml');
    writeFileSync(configFile, JSON.stringify(config, null, 2)); // JSON is YAML
    const before = logSize(this.logFile);
    const daemon = OwnedProcess.start('xen-audiod', process.execPath, [program, '--config', configFile], {
      env: { ...process.env, ...env() },
      cwd: dir,
      logFile: this.logFile,
    });
    this.process = daemon;
    const serves = (): boolean =>
      !daemon.running || readFileSync(this.logFile).subarray(before).includes(READY_MESSAGE);
    await waitFor('xen-audiod to serve devices', serves, {
      timeoutMs: 20_000,
      detail: () => daemon.logTail(),
    });
    if (!daemon.running) {
      throw new Error(`xen-audiod ended at its start\n${daemon.logTail()}`);
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
