// SPDX-License-Identifier: LGPL-2.1-or-later
import { messageOf } from '../util/errors.js';
import { withTimeout } from '../util/timeout.js';
import { checksOf, type CheckStatus, type Role } from './checks.js';
import type { DoctorPort } from './port.js';
import { SystemPort } from './system-port.js';

const CHECK_TIMEOUT_MS = 15_000;

export interface DoctorOptions {
  /** Default: dom0, or a driver domain. */
  readonly role?: Role;
  /** File of settings; default: that of xen-audiod. */
  readonly configPath?: string;
}

/** A check and what it found. */
export interface CheckReport {
  readonly id: string;
  readonly title: string;
  readonly status: CheckStatus;
  readonly finding: string;
  /** A command, or what to do; empty when there is nothing to do. */
  readonly remedy: string;
}

export interface DoctorReport {
  /** The worst of the checks. */
  readonly status: CheckStatus;
  readonly checks: readonly CheckReport[];
}

/** Looks for what keeps guests from being heard, and changes nothing. Never rejects; each check has a time limit. */
export const runDoctor = async (
  options: DoctorOptions = {},
  port: DoctorPort = new SystemPort(options.configPath),
): Promise<DoctorReport> => {
  const checks: CheckReport[] = [];
  for (const check of checksOf(options.role ?? 'dom0')) {
    const { id, title } = check;
    try {
      checks.push({ id, title, ...(await withTimeout(check.run(port), CHECK_TIMEOUT_MS, title)) });
    } catch (error) {
      checks.push({ id, title, status: 'error', finding: messageOf(error), remedy: '' });
    }
  }
  const worst = (['error', 'warning'] as const).find((status) =>
    checks.some((found) => found.status === status),
  );
  return { status: worst ?? 'ok', checks };
};
