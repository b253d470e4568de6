// SPDX-License-Identifier: LGPL-2.1-or-later
import { performance } from 'node:perf_hooks';
import type { ClockPort } from '../../device/ports.js';

/** The monotonic clock and timers of this process. */
export class SystemClock implements ClockPort {
  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  after(delayMs: number, listener: () => void): () => void {
    const timer = setTimeout(listener, delayMs);
    return () => {
      clearTimeout(timer);
    };
  }
}
