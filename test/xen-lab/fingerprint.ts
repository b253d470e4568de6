// SPDX-License-Identifier: LGPL-2.1-or-later
/** Names of cached images, from everything that shapes them. Pure. */
import { createHash } from 'node:crypto';

import { machineArguments } from './machine-spec.js';
import type { MachineOptions } from './options.js';

const KEY_CHARACTERS = 16;

/**
 * Name of the root image.
 *
 * @param inputs texts by name: files of image/, generated files, suite, Node's version
 */
export function imageKey(inputs: ReadonlyMap<string, string>): string {
  return keyOf([...inputs].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Name of the memory image, below its root image's folder. */
export function memoryKey(machine: MachineOptions, qemuVersion: string): string {
  const { time, guests, guestConfigs } = machine;
  const configs = [...guestConfigs].sort(([a], [b]) => a - b);
  return `${time}-${guests}-${keyOf([qemuVersion, machineArguments(machine, ''), guests, configs])}`;
}

function keyOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, KEY_CHARACTERS);
}
