// SPDX-License-Identifier: LGPL-2.1-or-later
import { frontendHoldsRings, XenbusState } from '../xenbus/state.js';

/** What we hold of a device: nothing, its streams, or a verdict on what its frontend published. */
export type Link = 'idle' | 'connected' | 'refused';

/** What the controller knows about a device, apart from xenstore. */
export interface DeviceStatus {
  readonly link: Link;
  /** Whether this process has published versions and features. */
  readonly announced: boolean;
  /** How much longer state 2 must be held before it may be left, milliseconds. */
  readonly holdLeftMs: number;
  /** How much longer a device that failed must wait before it may return to 2, milliseconds. */
  readonly backoffLeftMs: number;
  /** How much longer the streams answer a frontend like Linux's that was told 6 and holds their rings, milliseconds. */
  readonly lingerLeftMs: number;
  /** Its guest is about to be suspended: the card stays disconnected. */
  readonly held: boolean;
  /** libxl leaves the backend directory of a driver domain to it. */
  readonly ownsDirectory: boolean;
}

/** What is seen of a device. */
export interface Observation {
  /** Undefined: the backend directory is gone. */
  readonly backend: XenbusState | undefined;
  readonly frontend: XenbusState;
  /** `online` is not 0: the toolstack wants the device. */
  readonly online: boolean;
  readonly domainAlive: boolean;
  /** The toolstack's `frontend` node names the directory that belongs to the device. */
  readonly frontendPathRight: boolean;
  readonly serverUp: boolean;
  /** What the modules report of the streams. */
  readonly streams: 'fine' | 'lost' | 'broken';
}

export type Step =
  | { readonly kind: 'announce' }
  | { readonly kind: 'setState'; readonly state: XenbusState }
  | { readonly kind: 'connect' }
  | { readonly kind: 'disconnect' }
  | { readonly kind: 'judge'; readonly verdict: 'broken' | 'lost' }
  | { readonly kind: 'replanIn'; readonly delayMs: number }
  | { readonly kind: 'removeDirectory' }
  | { readonly kind: 'forget' };

const announce: Step = { kind: 'announce' };
const connect: Step = { kind: 'connect' };
const removeDirectory: Step = { kind: 'removeDirectory' };
const forget: Step = { kind: 'forget' };
const disconnect: Step = { kind: 'disconnect' };
const setState = (state: XenbusState): Step => ({ kind: 'setState', state });

/**
 * The steps that bring a device from what it is to what it should be; none when it is there. Depends on nothing but
 * its arguments, so it may be asked again at any time: a step left out is planned again.
 */
export const planSteps = (current: DeviceStatus, observed: Observation): Step[] => {
  if (observed.backend === undefined) return [...release(current), forget];
  if (!observed.domainAlive) return [...release(current), ...closed(observed), forget];
  if (!observed.frontendPathRight) return release(current);
  if (!observed.online) return planRemoval(current, observed);
  switch (observed.backend) {
    case XenbusState.Initialising:
      return [...release(current), announce, setState(XenbusState.InitWait)];
    case XenbusState.InitWait:
      return planInitWait(current, observed);
    case XenbusState.Connected:
      return planConnected(current, observed);
    case XenbusState.Closed:
      return planClosed(current, observed);
    case XenbusState.Unknown:
    case XenbusState.Initialised:
    case XenbusState.Closing:
    case XenbusState.Reconfiguring:
    case XenbusState.Reconfigured:
      return close(current, observed);
  }
};

/** The toolstack takes the device away: state 5 with online 0. Until then a running stream plays on. */
const planRemoval = (current: DeviceStatus, observed: Observation): Step[] => {
  const playing = current.link === 'connected' && observed.backend === XenbusState.Connected;
  if (playing) return planConnected(current, observed);
  const steps = close(current, observed);
  // libxl wants to see 6 before it removes the frontend's directory, and would miss it when ours went first
  const isOver = steps.length === 0 && observed.frontend === XenbusState.Unknown;
  return isOver && current.ownsDirectory ? [removeDirectory] : steps;
};

const planInitWait = (current: DeviceStatus, observed: Observation): Step[] => {
  if (current.held) return leave(current, observed);
  if (current.link === 'refused') return fail('broken', observed);
  const wanted = observed.frontend === XenbusState.Initialised;
  if (current.link === 'connected') {
    if (!wanted) return [disconnect];
    const verdict = observed.serverUp ? observed.streams : 'lost';
    return verdict === 'fine' ? [setState(XenbusState.Connected)] : fail(verdict, observed);
  }
  if (!current.announced) return [announce];
  if (!wanted) return [];
  if (current.holdLeftMs > 0) return [{ kind: 'replanIn', delayMs: current.holdLeftMs }];
  return observed.serverUp ? [connect] : [];
};

const planConnected = (current: DeviceStatus, observed: Observation): Step[] => {
  if (current.held) return leave(current, observed);
  if (current.link !== 'connected') return fail('lost', observed);
  if (observed.streams !== 'fine') return fail(observed.streams, observed);
  if (!observed.serverUp) return fail('lost', observed);
  return frontendHoldsRings(observed.frontend) ? [] : close(current, observed);
};

/** 6 is held until the frontend has let go, so that what it published before is never taken for new. */
const planClosed = (current: DeviceStatus, observed: Observation): Step[] => {
  if (current.link !== 'idle') return close(current, observed);
  if (frontendHoldsRings(observed.frontend) || current.held) return [];
  if (current.backoffLeftMs > 0) return [{ kind: 'replanIn', delayMs: current.backoffLeftMs }];
  return [announce, setState(XenbusState.InitWait)];
};

const fail = (verdict: 'broken' | 'lost', observed: Observation): Step[] => [
  { kind: 'judge', verdict },
  ...closingOf(observed),
  disconnect,
  setState(XenbusState.Closed),
];

const leave = (current: DeviceStatus, observed: Observation): Step[] => [
  ...closingOf(observed),
  ...close(current, observed),
];

/** By way of 5, which tells the frontend that it was not its own wish. */
const closingOf = (observed: Observation): Step[] =>
  observed.backend === XenbusState.Closing ? [] : [setState(XenbusState.Closing)];

/** Lets go of the streams and stays in 6. */
const close = (current: DeviceStatus, observed: Observation): Step[] => {
  if (!lingers(current, observed)) return [...release(current), ...closed(observed)];
  const isClosed = observed.backend === XenbusState.Closed;
  return [isClosed ? { kind: 'replanIn', delayMs: current.lingerLeftMs } : setState(XenbusState.Closed)];
};

/**
 * Whether the streams are still to answer their frontend. Linux's learns from 6 alone that it should let go, then asks
 * each stream to stop and to close, and a part of its kernel hangs for three seconds wherever no answer comes.
 */
const lingers = (current: DeviceStatus, observed: Observation): boolean =>
  current.link === 'connected' &&
  current.lingerLeftMs > 0 &&
  frontendHoldsRings(observed.frontend) &&
  observed.serverUp &&
  observed.streams === 'fine';

const closed = (observed: Observation): Step[] =>
  observed.backend === XenbusState.Closed ? [] : [setState(XenbusState.Closed)];

const release = (current: DeviceStatus): Step[] => (current.link === 'idle' ? [] : [disconnect]);
