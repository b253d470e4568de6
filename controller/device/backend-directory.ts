// SPDX-License-Identifier: LGPL-2.1-or-later
import { backendPath, type DeviceId } from '../xenbus/paths.js';
import type { XenstorePort } from './ports.js';

/**
 * Removes the directory of a card that the toolstack has taken away. That above it, which may be empty now, is dom0's.
 * Returns whether it was still to be removed.
 */
export const removeBackendDirectory = (
  xenstore: XenstorePort,
  ownDomid: number,
  id: DeviceId,
): Promise<boolean> =>
  xenstore.transaction(async (transaction) => {
    const path = backendPath(ownDomid, id);
    if ((await transaction.read(`${path}/online`)) !== '0') return false; // made anew meanwhile
    await transaction.remove(path);
    return true;
  });
