// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CardLayout } from '../api/audio-api.js';

/** What the policy wants for a guest that starts: no card of ours, or those of a layout. */
export type AttachPolicy = 'no' | CardLayout;

/** What is seen of a domain. */
export interface DomainFacts {
  /** The guest itself has written something, so its toolstack has made all it makes. */
  readonly runs: boolean;
  /** It is the helper of another domain, which is the guest. */
  readonly isStubdomain: boolean;
  readonly hasCard: boolean;
  /** It had a card, as far as we know: someone took that away since. */
  readonly hadCard: boolean;
}

/** 'later': look again. */
export type AttachDecision = 'now' | 'later' | 'never';

/**
 * Whether a domain gets cards by policy. Not before its guest runs: libxl adds the devices of the configuration one kind
 * after the other, sound last but two, and if it met a card of ours there, it would destroy the domain.
 */
export const shouldAttach = (policy: AttachPolicy, facts: DomainFacts): AttachDecision => {
  if (policy === 'no' || facts.isStubdomain || facts.hasCard || facts.hadCard) return 'never';
  return facts.runs ? 'now' : 'later';
};
