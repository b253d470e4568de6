// SPDX-License-Identifier: LGPL-2.1-or-later
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import koffi from 'koffi';
import { readConfigFile } from '../adapters/system/config-file.js';
import { readPolicy } from '../adapters/system/policy-file.js';
import { StreamLog } from '../adapters/system/stream-log.js';
import { XenstoreAdapter } from '../adapters/xenstore/xenstore-adapter.js';
import type { DoctorPort, Printed } from './port.js';

const RUN_TIMEOUT_MS = 5_000;

/** The machine itself. */
export class SystemPort implements DoctorPort {
  constructor(private readonly configPath: string | undefined) {}

  async readFile(path: string): Promise<Buffer | undefined> {
    return await readFile(path).catch(() => undefined);
  }

  exists(path: string): Promise<boolean> {
    return mayAccess(path, constants.F_OK);
  }

  canUse(path: string): Promise<boolean> {
    return mayAccess(path, constants.R_OK | constants.W_OK);
  }

  findsLibrary(soname: string): boolean {
    try {
      koffi.load(soname);
      return true;
    } catch {
      return false;
    }
  }

  async readXenstore(path: string): Promise<string | undefined> {
    const xenstore = await XenstoreAdapter.open(new StreamLog('error'), () => undefined);
    try {
      return await xenstore.read(path);
    } finally {
      await xenstore.close();
    }
  }

  /** In English, and with the sound server that the daemon uses. */
  async run(command: string, args: readonly string[]): Promise<Printed> {
    const config = await readConfigFile(this.configPath).catch(() => undefined);
    const server = config?.pulse.server;
    const env = { ...process.env, LC_ALL: 'C', ...(server !== undefined && { PULSE_SERVER: server }) };
    return await new Promise((resolve) => {
      execFile(command, args, { env, timeout: RUN_TIMEOUT_MS }, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : undefined;
        resolve({ code, stdout, stderr });
      });
    });
  }

  async checkSettings(): Promise<{ readonly policyFile: string }> {
    const { policyFile } = await readConfigFile(this.configPath);
    await readPolicy(policyFile);
    return { policyFile };
  }
}

const mayAccess = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );
