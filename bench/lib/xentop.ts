// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

import { runCommand } from '../../test/lib/process.js';

const SLACK_MS = 30_000;
/** xentop prints a heading before each of its tables. */
const HEADING = /^\s*NAME\s.*$/m;
/** Percent of one processor. */
const MS_PER_PERCENT = 10;
const Row = z.tuple([z.string(), z.string(), z.coerce.number(), z.coerce.number()]).rest(z.string());

/**
 * What each domain uses of the processor from now on; for dom0 of a real Xen.
 *
 * @returns milliseconds a second, by the domain's name
 * @throws Error with what xentop said
 */
export async function domainCpu(seconds: number): Promise<Map<string, number>> {
  const args = ['--batch', '--full-name', '--iterations=2', `--delay=${seconds}`];
  const { code, stdout, stderr } = await runCommand('xentop', args, {
    timeoutMs: seconds * 1000 + SLACK_MS,
  });
  if (code !== 0) {
    throw new Error(`xentop: ${stderr.trim()}`);
  }
  const [, , table = ''] = stdout.split(HEADING); // the first one has no interval to tell of
  const rows = table
    .trim()
    .split('\n')
    .map((line) => Row.parse(line.trim().split(/\s+/)));
  return new Map(rows.map(([name, , , percent]) => [name, percent * MS_PER_PERCENT]));
}
