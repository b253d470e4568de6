// SPDX-License-Identifier: LGPL-2.1-or-later
import { ApiError, type CardLayout } from '../api/audio-api.js';
import type { Watch } from '../device/ports.js';
import { hasCode, messageOf } from '../util/errors.js';
import { displayName } from '../util/text.js';
import { shouldAttach, type AttachPolicy } from './decision.js';
import { listDomains, type RunningDomain } from './domains.js';
import { markAttached, readFacts } from './facts.js';
import type { Toolstack, ToolstackContext } from './toolstack.js';

const TOPIC = 'auto-attach';
/** How often is looked whether a guest runs yet: often while guests usually boot, then seldom. */
const LOOK_MS = 1000;
const LOOK_SELDOM_MS = 30_000;
const BOOT_MS = 120_000;
/** After a failure. */
const RETRY_MS = 30_000;

/** A domain that was seen, and how far it has got. */
interface Candidate {
  /** Nothing is left to be decided. */
  settled: boolean;
  attaching: boolean;
  retryAtMs: number;
  lastComplaint: string;
}

/**
 * Gives guests cards when they start, as the policy says. A guest has no part in when that is looked at: all it can do
 * is to run or not. What has been attached stays when the policy changes.
 */
export class AutoAttach {
  #candidates = new Map<string, Candidate>();
  #watches: Watch[] = [];
  #newsAtMs: number;
  #dirty = false;
  #stopped = false;
  #worker: Promise<void> | undefined;
  #cancelTimer: () => void = () => undefined;
  #lastComplaint = '';

  /** @param policyOf what the policy in force wants for a guest; must not throw */
  constructor(
    private readonly context: ToolstackContext,
    private readonly toolstack: Pick<Toolstack, 'attach'>,
    private readonly policyOf: (guest: RunningDomain) => AttachPolicy,
  ) {
    this.#newsAtMs = context.clock.nowMs();
  }

  /** Looks at the domains there are, and begins to watch for others. Throws XenAudioError of the port. */
  async start(): Promise<void> {
    for (const event of ['@introduceDomain', '@releaseDomain']) {
      const watch = await this.context.xenstore.watch(event, () => {
        this.#newsAtMs = this.context.clock.nowMs();
        this.#notify();
      });
      this.#watches.push(watch);
    }
  }

  /** The policy may say something else now: running guests without a card are judged anew. */
  reconsider(): void {
    for (const candidate of this.#candidates.values()) candidate.settled = false;
    this.#notify();
  }

  /** Stops looking. What is being attached is the toolstack's, which is closed by its owner. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.#worker;
    for (const watch of this.#watches) await watch.remove();
  }

  #notify(): void {
    if (this.#stopped) return;
    this.#dirty = true;
    this.#worker ??= this.#work();
  }

  async #work(): Promise<void> {
    while (this.#dirty && !this.#stopped) {
      this.#dirty = false;
      this.#cancelTimer();
      try {
        if (await this.#look()) this.#lookAgain();
        this.#lastComplaint = '';
      } catch (error) {
        if (hasCode(error, 'xenstore-lost')) break;
        if (hasCode(error, 'xenstore-denied')) {
          this.context.log.info(TOPIC, () => `only dom0 gives guests cards by itself: ${messageOf(error)}`);
          this.#stopped = true;
          break;
        }
        this.#warnOnce(messageOf(error));
        this.#lookAgain();
      }
    }
    this.#worker = undefined;
  }

  #warnOnce(message: string): void {
    if (message !== this.#lastComplaint) this.context.log.warning(TOPIC, message);
    this.#lastComplaint = message;
  }

  #lookAgain(): void {
    const { clock } = this.context;
    if (this.#stopped) return;
    const delayMs = clock.nowMs() - this.#newsAtMs < BOOT_MS ? LOOK_MS : LOOK_SELDOM_MS;
    this.#cancelTimer = clock.after(delayMs, () => {
      this.#notify();
    });
  }

  /** Looks at all domains. Returns whether one of them must be looked at again. */
  async #look(): Promise<boolean> {
    const { xenstore, ownDomid } = this.context;
    const domains = await listDomains(xenstore, ownDomid);
    const candidates = new Map<string, Candidate>();
    let again = false;
    for (const domain of domains) {
      const key = `${domain.domid} ${domain.uuid}`;
      const candidate = this.#candidates.get(key) ?? newCandidate();
      candidates.set(key, candidate);
      if (candidate.settled || candidate.attaching) continue;
      if (await this.#decide(domain, candidate)) candidate.settled = true;
      else again = true;
    }
    this.#candidates = candidates;
    return again;
  }

  /** Returns whether the last word on a domain has been said. */
  async #decide(domain: RunningDomain, candidate: Candidate): Promise<boolean> {
    const { xenstore, ownDomid, clock } = this.context;
    const policy = this.policyOf(domain);
    if (policy === 'no') return true;
    const facts = await readFacts(xenstore, ownDomid, domain.domid);
    if (facts.hasCard && !facts.hadCard) await markAttached(xenstore, domain.domid);
    const decision = shouldAttach(policy, facts);
    if (decision === 'never') return true;
    if (decision === 'now' && clock.nowMs() >= candidate.retryAtMs) {
      void this.#attach(domain, policy, candidate);
    }
    return false;
  }

  /** Then looks again: a card that is there is remembered, a failure tried once more. */
  async #attach(domain: RunningDomain, layout: CardLayout, candidate: Candidate): Promise<void> {
    candidate.attaching = true;
    try {
      await this.toolstack.attach(domain.domid, layout);
    } catch (error) {
      candidate.retryAtMs = this.context.clock.nowMs() + RETRY_MS;
      this.#complain(domain, candidate, error);
    }
    candidate.attaching = false;
    this.#notify();
  }

  /** Says once what is wrong; that a guest went or has got a card meanwhile is not. */
  #complain(domain: RunningDomain, candidate: Candidate, error: unknown): void {
    const message = messageOf(error);
    const isFine = error instanceof ApiError && ['NoSuchGuest', 'AlreadyAttached'].includes(error.code);
    if (this.#stopped || isFine || message === candidate.lastComplaint) return;
    candidate.lastComplaint = message;
    const text = `${displayName(domain.name)}: no card yet, tried again every ${RETRY_MS / 1000} s: ${message}`;
    this.context.log.warning(TOPIC, text);
  }
}

const newCandidate = (): Candidate => ({
  settled: false,
  attaching: false,
  retryAtMs: 0,
  lastComplaint: '',
});
