// SPDX-License-Identifier: LGPL-2.1-or-later
import type { ClockPort, Watch, XenstorePort } from '../device/ports.js';

/** How a wait ended. */
export type WaitEnd = 'done' | 'timeout' | 'aborted';

/** When a wait ends at the latest. */
export interface WaitLimit {
  readonly timeoutMs: number;
  /** Ends it early. */
  readonly signal: AbortSignal;
}

/**
 * Looks at once, and after each change at or below the watched paths, until `look` says true or the limit is reached;
 * then once more. What `look` throws ends the wait. No watch and no timer stays behind.
 */
export const watchUntil = async (
  { xenstore, clock }: { readonly xenstore: XenstorePort; readonly clock: ClockPort },
  paths: readonly string[],
  limit: WaitLimit,
  look: () => Promise<boolean>,
): Promise<WaitEnd> => {
  let ring = (): void => undefined;
  const end: { reason?: WaitEnd } = {};
  const endWith = (reason: WaitEnd): void => {
    end.reason ??= reason;
    ring();
  };
  const abort = (): void => {
    endWith('aborted');
  };
  const cancelTimer = clock.after(limit.timeoutMs, () => {
    endWith('timeout');
  });
  limit.signal.addEventListener('abort', abort);
  if (limit.signal.aborted) abort();
  const watches: Watch[] = [];
  try {
    for (const path of paths) {
      const watch = await xenstore.watch(path, () => {
        ring();
      });
      watches.push(watch);
    }
    for (;;) {
      const rung = new Promise<void>((resolve) => {
        ring = resolve;
      });
      const { reason } = end;
      if (await look()) return 'done';
      if (reason !== undefined) return reason;
      await rung;
    }
  } finally {
    cancelTimer();
    limit.signal.removeEventListener('abort', abort);
    // A connection that broke has no watches any more.
    await Promise.allSettled(watches.map((watch) => watch.remove()));
  }
};
