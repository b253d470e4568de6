// SPDX-License-Identifier: LGPL-2.1-or-later
/** Runs a step and says on stderr how long it took, as `step` of scripts/lib/common.sh does. */
export async function step<T>(title: string, action: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const say = (outcome: string): void => {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    process.stderr.write(`${outcome}  ${title.padEnd(44)} ${seconds.padStart(7)} s\n`);
  };
  if (process.stderr.isTTY) {
    process.stderr.write(`  ... ${title}\r`);
  }
  try {
    const result = await action();
    say('  ok');
    return result;
  } catch (error) {
    say('FAIL');
    throw error;
  }
}
