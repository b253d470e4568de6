// SPDX-License-Identifier: LGPL-2.1-or-later
import { hasCode } from '../util/errors.js';
import type { XenstoreReader } from './ports.js';

/**
 * The value of a node of another domain; undefined when it is absent, or not to be read by us. To a driver domain xenstored
 * says "denied" of both: what is absent is judged by the directory above it.
 */
export const readIfAllowed = async (
  reader: Pick<XenstoreReader, 'read'>,
  path: string,
): Promise<string | undefined> => {
  try {
    return await reader.read(path);
  } catch (error) {
    if (hasCode(error, 'xenstore-denied')) return undefined;
    throw error;
  }
};
