// SPDX-License-Identifier: LGPL-2.1-or-later
import { runCommand } from '../../lib/process.js';

/** xl itself gives a device up after 10 s, a guest's shutdown never. */
const XL_TIMEOUT_MS = 90_000;
const BOOT_TIMEOUT_SECONDS = 120;

/** Runs xl. @throws Error with what it said when it fails */
export async function xl(...args: string[]): Promise<void> {
  await xlOutput(...args);
}

/** @returns what xl prints @throws Error with what it said when it fails */
export async function xlOutput(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand('xl', args, { timeoutMs: XL_TIMEOUT_MS });
  if (code !== 0) {
    throw new Error(`xl ${args.join(' ')}: ${stderr.trim() || stdout.trim()}`);
  }
  return stdout;
}

/** Undefined when no domain of that name runs. */
export async function domidOf(name: string): Promise<number | undefined> {
  const { code, stdout } = await runCommand('xl', ['domid', name]);
  return code === 0 ? Number(stdout) : undefined;
}

/**
 * Resolves when one of the lab's guests answers; creates it when it does not run.
 *
 * @param config more lines for its configuration, when it is created
 * @returns its domid
 * @throws Error with the end of its console when it does not answer in time
 */
export async function bootGuest(name: string, ...config: string[]): Promise<number> {
  if ((await domidOf(name)) === undefined) {
    await xl('create', `/etc/xen/${name}.cfg`, ...config);
  }
  const number = name.replace('guest', '');
  const timeoutMs = (BOOT_TIMEOUT_SECONDS + 10) * 1000;
  const awaited = await runCommand('lab-await-guest', [number, String(BOOT_TIMEOUT_SECONDS)], { timeoutMs });
  const domid = await domidOf(name);
  if (awaited.code !== 0 || domid === undefined) {
    throw new Error(`${name} did not boot: ${awaited.stderr.trim()}`);
  }
  return domid;
}
