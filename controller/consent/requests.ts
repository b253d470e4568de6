// SPDX-License-Identifier: LGPL-2.1-or-later
import type { Guest } from '../ctl/client/shapes.js';
import { nameText } from '../ctl/show/guests.js';
import { messageOf } from '../util/errors.js';
import { SerialQueue } from '../util/queue.js';
import type { Notice } from './notifications.js';

/** What the user may say; the keys of the notification's actions. */
export type Answer = 'once' | 'always' | 'deny';

const ACTIONS = [
  ['once', 'Allow once'],
  ['always', 'Allow always'],
  ['deny', 'Deny'],
] as const satisfies readonly (readonly [Answer, string])[];

/** Where notices are shown. */
export interface Notifier {
  readonly epoch: number;
  show(notice: Notice, replaces: number): Promise<number>;
  close(id: number): Promise<void>;
}

/** What is needed of the daemon. */
export interface Asker {
  guestAt(path: string): Guest | undefined;
  answer(path: string, answer: Answer): Promise<void>;
}

interface Request {
  readonly path: string;
  readonly guest: Guest;
  readonly deadlineMs: number;
  readonly timer: NodeJS.Timeout;
  /** The daemon has said that the request waits: when it says otherwise, it is over. */
  confirmed: boolean;
  readonly shown: Shown;
}

/** A notification: 0 before there is one, and the daemon that shows it, as `Notifier.epoch` has it. */
interface Shown {
  id: number;
  epoch: number;
}

/** The longest time setTimeout can wait. */
const TIMER_MS_MAX = 0x7fff_ffff;

/** The guests that wait for an answer, each with a notification. */
export class Requests {
  readonly #requests = new Map<string, Request>();
  readonly #queue = new SerialQueue();

  /** @param complain is told what went wrong and ends nothing */
  constructor(
    private readonly notifier: Notifier,
    private readonly asker: Asker,
    private readonly complain: (message: string) => void,
  ) {}

  /** A guest asks for the microphone. @param deadlineUsec of CLOCK_REALTIME */
  ask(path: string, deadlineUsec: number): void {
    const guest = this.asker.guestAt(path);
    const deadlineMs = deadlineUsec / 1000;
    const leftMs = deadlineMs - Date.now();
    if (guest === undefined || leftMs <= 0) return;
    const before = this.#requests.get(path);
    clearTimeout(before?.timer);
    const end = (): void => {
      this.#end(request);
    };
    const request: Request = {
      path,
      guest,
      deadlineMs,
      timer: setTimeout(end, Math.min(leftMs, TIMER_MS_MAX)),
      confirmed: guest.captureDeadlineUsec > 0,
      shown: before?.shown ?? { id: 0, epoch: this.notifier.epoch },
    };
    this.#requests.set(path, request);
    this.#present(request);
  }

  /** The daemon's guests have changed: closes what has been answered elsewhere. */
  changed(): void {
    for (const request of this.#requests.values()) {
      const guest = this.asker.guestAt(request.path);
      request.confirmed ||= guest !== undefined && guest.captureDeadlineUsec > 0;
      const over =
        guest === undefined ||
        guest.captureAllowed ||
        guest.capturePolicy !== 'ask' ||
        (request.confirmed && guest.captureDeadlineUsec === 0);
      if (over) this.#end(request);
    }
  }

  /** There is a new notification daemon. */
  renew(): void {
    for (const request of this.#requests.values()) this.#present(request);
  }

  /** The user has chosen an action of a notification. */
  choose(id: number, action: string): void {
    const request = [...this.#requests.values()].find(
      ({ shown }) => shown.id === id && shown.epoch === this.notifier.epoch,
    );
    const answer = ACTIONS.find(([key]) => key === action)?.[0];
    if (request === undefined || answer === undefined) return;
    this.#end(request);
    if (Date.now() < request.deadlineMs) void this.#answer(request, answer);
  }

  /** Closes all notifications; resolves when they are. */
  async close(): Promise<void> {
    for (const request of this.#requests.values()) this.#end(request);
    await this.#queue.idle();
  }

  /** One after the other: a notification that is on its way has no number yet by which it could be closed. */
  #present(request: Request): void {
    const { guest, path, shown } = request;
    void this.#queue.run(async () => {
      if (this.#requests.get(path) !== request) return;
      try {
        const replaces = shown.epoch === this.notifier.epoch ? shown.id : 0;
        shown.id = await this.notifier.show(noticeOf(guest), replaces);
        shown.epoch = this.notifier.epoch;
      } catch (error) {
        this.complain(`cannot ask about ${nameText(guest)}: no notification: ${messageOf(error)}`);
      }
    });
  }

  #end({ path, shown, timer }: Request): void {
    clearTimeout(timer);
    if (this.#requests.get(path)?.shown === shown) this.#requests.delete(path);
    void this.#queue.run(async () => {
      if (shown.id === 0 || shown.epoch !== this.notifier.epoch) return;
      try {
        await this.notifier.close(shown.id);
      } catch {
        // The user has closed it before.
      }
    });
  }

  async #answer({ path, guest }: Request, answer: Answer): Promise<void> {
    try {
      await this.asker.answer(path, answer);
    } catch (error) {
      const summary = `The answer about ${nameText(guest)} did not reach xen-audiod`;
      this.complain(`${summary}: ${messageOf(error)}`);
      await this.#queue.run(async () => {
        try {
          await this.notifier.show({ summary, body: messageOf(error), withoutActions: '', actions: [] }, 0);
        } catch {
          // It has been complained about already.
        }
      });
    }
  }
}

const noticeOf = (guest: Guest): Notice => {
  const handle = guest.uuid === '' ? String(guest.domid) : guest.uuid;
  return {
    summary: `Microphone for ${nameText(guest)}?`,
    body: `The Xen guest ${nameText(guest)} wants to record.`,
    withoutActions: `To answer: xen-audioctl allow-mic ${handle}, or xen-audioctl deny-mic ${handle}`,
    actions: ACTIONS,
  };
};
