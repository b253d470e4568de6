// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestState, ManagerState } from './state.js';

/** What `systemctl status` shows. */
export const statusLine = (manager: ManagerState, guests: readonly GuestState[]): string => {
  if (!manager.xenstoreUp) return 'waiting for xenstore';
  const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
  const streams = guests.reduce((sum, guest) => sum + guest.streams.length, 0);
  return [
    `serving ${counted(guests.length, 'guest')}`,
    counted(streams, 'stream'),
    `${guests.filter((guest) => guest.playbackActive).length} playing`,
    `${guests.filter((guest) => guest.captureActive).length} recording`,
    ...(manager.soundServerUp ? [] : ['no sound server']),
    ...(manager.policyError === '' ? [] : ['the policy file is refused']),
  ].join(', ');
};
