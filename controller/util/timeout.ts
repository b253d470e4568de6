// SPDX-License-Identifier: LGPL-2.1-or-later
import { XenAudioError } from './errors.js';

/**
 * Bounds a wait. The work itself cannot be cancelled: its owner decides what its late end means.
 * @param what what is awaited, for the message
 * @throws XenAudioError `timeout`
 */
export const withTimeout = async <T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new XenAudioError('timeout', `${what}: no answer within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
};
