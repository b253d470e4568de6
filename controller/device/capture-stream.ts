// SPDX-License-Identifier: LGPL-2.1-or-later
import type { PolicyDecision } from '../policy/decision.js';
import { hasCode, messageOf } from '../util/errors.js';
import { SerialQueue } from '../util/queue.js';
import { RateLimit } from '../util/retry.js';
import type { ClockPort, LogPort, Watch, XenstorePort } from './ports.js';

/** What a capture stream needs of the daemon around it. */
export interface CaptureStreamContext {
  readonly xenstore: XenstorePort;
  readonly clock: ClockPort;
  readonly log: LogPort;
}

const TOPIC = 'capture';
/** A guest starts and stops as often as it likes; the log takes this much of it. */
const LOOKS_BURST = 10;
const LOOKS_PER_SECOND = 0.5;

type Activity = 'idle' | 'denied' | 'recording';

/** One capture stream: writes whether it may record for its module, and logs what its module says it does. */
export class CaptureStream {
  readonly #queue = new SerialQueue();
  readonly #looks = new RateLimit(LOOKS_BURST, LOOKS_PER_SECOND);
  #watches: Watch[] = [];
  /** What the module has been told. */
  #allowed: boolean | undefined;
  #logged: Activity = 'idle';
  #lookAsked = false;
  #ended = false;
  #cancelTimer: () => void = () => undefined;

  constructor(
    private readonly context: CaptureStreamContext,
    /** Its control directory. */
    private readonly control: string,
    private readonly label: string,
    private readonly evaluate: () => PolicyDecision,
  ) {}

  /** Tells the module, and begins to watch it. To be ended also when this fails. */
  async start(): Promise<void> {
    await this.decide();
    for (const node of ['requested', 'active']) {
      const watch = await this.context.xenstore.watch(`${this.control}/${node}`, () => {
        this.#askForLook();
      });
      this.#watches.push(watch);
    }
  }

  /** Tells the module when the decision is another than before. */
  decide(): Promise<void> {
    return this.#queue.run(async () => {
      const { allowed, reason } = this.evaluate();
      if (this.#ended || allowed === this.#allowed) return;
      await this.context.xenstore.write(`${this.control}/capture`, allowed ? '1' : '0');
      this.#allowed = allowed;
      this.#log(`may ${allowed ? '' : 'not '}record: ${reason}`);
    });
  }

  /** Nothing is written afterwards. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#cancelTimer();
    for (const watch of this.#watches.splice(0)) await watch.remove();
    await this.#queue.idle();
  }

  #askForLook(): void {
    if (this.#ended || this.#lookAsked) return;
    this.#lookAsked = true;
    const { clock } = this.context;
    const waitMs = this.#looks.take(clock.nowMs());
    if (waitMs === 0) {
      void this.#queue.run(() => this.#look());
      return;
    }
    this.#cancelTimer = clock.after(waitMs, () => {
      this.#lookAsked = false;
      this.#askForLook();
    });
  }

  async #look(): Promise<void> {
    this.#lookAsked = false; // what changes from now on is another look
    try {
      const activity = await this.#activity();
      if (this.#ended || activity === this.#logged) return;
      this.#log(SAYS[activity]);
      this.#logged = activity;
    } catch (error) {
      if (!hasCode(error, 'xenstore-lost')) this.context.log.warning(TOPIC, messageOf(error));
    }
  }

  async #activity(): Promise<Activity> {
    const { xenstore } = this.context;
    if ((await xenstore.read(`${this.control}/active`)) === '1') return 'recording';
    const requested = (await xenstore.read(`${this.control}/requested`)) === '1';
    return requested && this.#allowed === false ? 'denied' : 'idle';
  }

  #log(text: string): void {
    this.context.log.info(TOPIC, `${this.label} ${text}`);
  }
}

const SAYS: Readonly<Record<Activity, string>> = {
  idle: 'does not record now',
  denied: 'asks to record and hears silence: to let it, put its guest into capture.allowed and send SIGHUP',
  recording: 'records',
};
