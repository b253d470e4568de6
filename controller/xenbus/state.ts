// SPDX-License-Identifier: LGPL-2.1-or-later

/** States of `xen/io/xenbus.h`; `Unknown` also stands for a node that is absent or holds nonsense. */
export const XenbusState = {
  Unknown: 0,
  Initialising: 1,
  InitWait: 2,
  Initialised: 3,
  Connected: 4,
  Closing: 5,
  Closed: 6,
  Reconfiguring: 7,
  Reconfigured: 8,
} as const;
export type XenbusState = (typeof XenbusState)[keyof typeof XenbusState];

const NAMES = Object.keys(XenbusState);

/** Reads a `state` node; the peer may have written anything. */
export const parseXenbusState = (text: string | undefined): XenbusState =>
  text !== undefined && /^[0-8]$/.test(text) ? (Number(text) as XenbusState) : XenbusState.Unknown;

/** For log lines: `4 Connected`. */
export const describeState = (state: XenbusState): string => `${state} ${NAMES[state] ?? ''}`;

/** States in which a frontend has published its rings and may be using them. */
export const frontendHoldsRings = (state: XenbusState): boolean =>
  state === XenbusState.Initialised || state === XenbusState.Connected;
