// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * Linux shares the processors among sessions before it shares them within one (sched(7), autogroups): niceness and policy of a
 * thread say nothing to what runs in another session, which may wait for a second and more.
 */
import { existsSync, writeFileSync } from 'node:fs';

/** Gives a session, whose leader that process is, another niceness towards all others; -20 to 19. */
export function setSessionNiceness(leader: number, niceness: number): void {
  const autogroup = `/proc/${leader}/autogroup`;
  if (niceness > 0 && existsSync(autogroup)) writeFileSync(autogroup, String(niceness));
}
