// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CaptureLeave } from '../../schemas/guest-record.js';
import type { ClockPort } from '../device/ports.js';
import {
  decideConsent,
  effectivePolicy,
  leaveAfterBeginning,
  leaveAfterDenial,
  leaveAfterRecording,
  type CapturePolicy,
  type ConsentDecision,
} from './consent.js';

/** What a microphone tells its guest. */
export interface MicrophoneEvents {
  /** Leave is another than before, and to be kept. */
  onLeave(leave: CaptureLeave | undefined): void;
  /** Time has changed what holds: leave has ended, or the time to answer. */
  onTime(): void;
  /** The guest asks, and somebody is to answer; microseconds of CLOCK_REALTIME. */
  onAsk(deadlineUsec: bigint): void;
}

/** How long a desktop has to answer. A guest that asks again meanwhile is not asked for twice. */
const ASK_MS = 30_000;
const TIMER_MAX_MS = 2 ** 31 - 1;
const nothing = (): void => undefined;

/** Whether a guest may record: policy, the leave it was given by hand, and the question that waits for an answer. */
export class Microphone {
  /** The last question: until when, CLOCK_REALTIME, and whether it still waits. */
  #question = { untilMs: 0, waits: false };
  /** Monotonic: when the next question may be put. */
  #nextQuestionMs = 0;
  #cancelQuestion = nothing;
  #cancelLeaveTimer = nothing;

  constructor(
    private readonly clock: ClockPort,
    private readonly events: MicrophoneEvents,
    private policy: CapturePolicy,
    private leave: CaptureLeave | undefined,
  ) {}

  /** Whether the guest gets it when it asks. */
  get decision(): ConsentDecision {
    return decideConsent({ policy: this.policy, leave: this.leave, nowMs: this.clock.wallMs() });
  }

  /** What policy says, or has been told since. */
  get says(): CapturePolicy {
    return effectivePolicy(this.policy, this.leave);
  }

  /** When leave given for a time ends, microseconds of CLOCK_REALTIME; 0: it does not end by the clock. */
  get allowedUntilUsec(): bigint {
    return typeof this.leave === 'object' && this.decision.allowed ? BigInt(this.leave.untilMs) * 1000n : 0n;
  }

  /** By when a question must be answered; 0: none waits. */
  get deadlineUsec(): bigint {
    return this.#question.waits ? BigInt(this.#question.untilMs) * 1000n : 0n;
  }

  changePolicy(policy: CapturePolicy): void {
    this.policy = policy;
    if (this.says !== 'ask') this.#endQuestion();
  }

  allow(leave: CaptureLeave): void {
    this.#endQuestion();
    this.#setLeave(leave);
  }

  deny(): void {
    this.#endQuestion();
    this.#setLeave(leaveAfterDenial(this.policy));
  }

  /** The guest asks. Returns whether it is somebody's to answer. */
  requested(): boolean {
    if (this.decision.allowed) {
      const leave = leaveAfterBeginning(this.leave);
      if (leave !== this.leave) this.#setLeave(leave);
      return false;
    }
    if (this.says !== 'ask') return false;
    if (this.clock.nowMs() >= this.#nextQuestionMs) this.#ask();
    return true;
  }

  /** The guest asks no longer. Returns whether that has ended its leave. */
  released(): boolean {
    this.#endQuestion();
    const leave = leaveAfterRecording(this.leave);
    if (leave === this.leave) return false;
    this.#setLeave(leave);
    return true;
  }

  /** Leave for a time ends by itself, from now on. */
  watchLeave(): void {
    this.#cancelLeaveTimer();
    this.#cancelLeaveTimer = nothing;
    const leftMs = typeof this.leave === 'object' ? this.leave.untilMs - this.clock.wallMs() : 0;
    if (leftMs <= 0) return;
    this.#cancelLeaveTimer = this.clock.after(Math.min(leftMs, TIMER_MAX_MS), () => {
      this.watchLeave();
      this.events.onTime();
    });
  }

  /** No timer runs afterwards. */
  stop(): void {
    this.#cancelLeaveTimer();
    this.#cancelLeaveTimer = nothing;
    this.#endQuestion();
  }

  #setLeave(leave: CaptureLeave | undefined): void {
    this.leave = leave;
    this.watchLeave();
    this.events.onLeave(leave);
  }

  #ask(): void {
    this.#cancelQuestion();
    const untilMs = this.clock.wallMs() + ASK_MS;
    this.#nextQuestionMs = this.clock.nowMs() + ASK_MS;
    this.#question = { untilMs, waits: true };
    this.#cancelQuestion = this.clock.after(ASK_MS, () => {
      this.#endQuestion();
      this.events.onTime();
    });
    this.events.onAsk(BigInt(untilMs) * 1000n);
  }

  #endQuestion(): void {
    this.#question.waits = false;
    this.#cancelQuestion();
    this.#cancelQuestion = nothing;
  }
}
