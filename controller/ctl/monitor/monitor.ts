// SPDX-License-Identifier: LGPL-2.1-or-later
import type { AudioClient } from '../client/audio-client.js';
import { LiveGuests } from '../client/live-guests.js';
import type { Guest } from '../client/shapes.js';

/** Where the monitor shows what it sees. */
export interface MonitorView {
  /** @param guests undefined while the daemon is not running */
  show(guests: readonly Guest[] | undefined): void;
  /** Calls `listener` when what was shown must be shown anew, or can be shown at last. */
  onWanted(listener: () => void): void;
  /** Resolves when the user has had enough. */
  readonly quit: Promise<void>;
  /** Gives the output back as it was. */
  close(): void;
}

/** The least time between two pictures. */
const PERIOD_MS = 100;

/**
 * Shows the guests until the view is quit, also while the daemon is away.
 * @throws CommandError when the bus has gone, or the daemon says what cannot be understood
 */
export const runMonitor = async (client: AudioClient, view: MonitorView): Promise<void> => {
  let known = false;
  let timer: NodeJS.Timeout | undefined;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  const draw = (): void => {
    timer = undefined;
    try {
      if (known) view.show(live.running ? live.guests() : undefined);
    } catch (error) {
      fail(error as Error);
    }
  };
  const changed = (): void => {
    timer ??= setTimeout(draw, PERIOD_MS);
  };
  const appeared = (): void => {
    // A daemon that went away meanwhile will come back, and be asked again.
    client.showLevels(true).catch((error: unknown) => {
      if (live.running) fail(error as Error);
    });
  };
  const live = new LiveGuests(client, { changed, appeared, failed: fail });
  const work = async (): Promise<never> => {
    await live.start();
    known = true;
    draw();
    return await failed;
  };
  try {
    view.onWanted(changed);
    await Promise.race([work(), view.quit, failed, client.bus.lost]);
    if (live.running) await client.showLevels(false);
  } finally {
    clearTimeout(timer);
    view.close();
  }
};
