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
  | { readonly kind: 'forget' };

const announce: Step = { kind: 'announce' };
const connect: Step = { kind: 'connect' };
const forget: Step = { kind: 'forget' };
const disconnect: Step = { kind: 'disconnect' };
const setState = (state: XenbusState): Step => ({ kind: 'setState', state });

/**
 * The steps that bring a device from what it is to what it should be; none when it is there. Depends on nothing but
 * its arguments, so it may be asked again at any time: a step left out is planned again.
 */
export const planSteps = (current: DeviceStatus, observed: Observation): Step[] => {
  if (observed.backend === undefined) return [...release(current), forget];
  if (!observed.domainAlive) return [...close(current, observed), forget];
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
  return playing ? planConnected(current, observed) : close(current, observed);
};

const planInitWait = (current: DeviceStatus, observed: Observation): Step[] => {
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
  if (current.link !== 'connected') return fail('lost', observed);
  if (observed.streams !== 'fine') return fail(observed.streams, observed);
  if (!observed.serverUp) return fail('lost', observed);
  return frontendHoldsRings(observed.frontend) ? [] : close(current, observed);
};

/** 6 is held until the frontend has let go, so that what it published before is never taken for new. */
const planClosed = (current: DeviceStatus, observed: Observation): Step[] => {
  if (current.link !== 'idle') return [disconnect];
  if (frontendHoldsRings(observed.frontend)) return [];
  if (current.backoffLeftMs > 0) return [{ kind: 'replanIn', delayMs: current.backoffLeftMs }];
  return [announce, setState(XenbusState.InitWait)];
};

/** Leaves by way of 5, which tells the frontend that it was not its own wish. */
const fail = (verdict: 'broken' | 'lost', observed: Observation): Step[] => {
  const closing = observed.backend === XenbusState.Closing ? [] : [setState(XenbusState.Closing)];
  return [{ kind: 'judge', verdict }, ...closing, disconnect, setState(XenbusState.Closed)];
};

const close = (current: DeviceStatus, observed: Observation): Step[] => {
  const closed = observed.backend === XenbusState.Closed ? [] : [setState(XenbusState.Closed)];
  return [...release(current), ...closed];
};

const release = (current: DeviceStatus): Step[] => (current.link === 'idle' ? [] : [disconnect]);
