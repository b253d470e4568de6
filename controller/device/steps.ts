// SPDX-License-Identifier: LGPL-2.1-or-later
import type { XenbusState } from '../xenbus/state.js';
import type { Step } from './plan.js';

/** What a device can do; each resolves to whether the rest of the plan still holds. */
export interface StepTarget {
  announce(): Promise<boolean>;
  setState(state: XenbusState): Promise<boolean>;
  connect(): Promise<boolean>;
  disconnect(): Promise<boolean>;
  judge(verdict: 'broken' | 'lost'): boolean;
  replanIn(delayMs: number): boolean;
  removeDirectory(): Promise<boolean>;
  forget(): Promise<boolean>;
}

type Executor<K extends Step['kind']> = (
  target: StepTarget,
  step: Extract<Step, { kind: K }>,
) => Promise<boolean> | boolean;

const EXECUTORS: { readonly [K in Step['kind']]: Executor<K> } = {
  announce: (target) => target.announce(),
  setState: (target, step) => target.setState(step.state),
  connect: (target) => target.connect(),
  disconnect: (target) => target.disconnect(),
  judge: (target, step) => target.judge(step.verdict),
  replanIn: (target, step) => target.replanIn(step.delayMs),
  removeDirectory: (target) => target.removeDirectory(),
  forget: (target) => target.forget(),
};

/** Performs one step. Returns whether the rest of the plan still holds. */
export const runStep = async (target: StepTarget, step: Step): Promise<boolean> => {
  const executor = EXECUTORS[step.kind] as Executor<Step['kind']>;
  return await executor(target, step);
};

const CHANGES_UNSEEN: readonly Step['kind'][] = ['connect', 'disconnect', 'judge'];

/** Steps after which the device is looked at again, because they changed it. Of what they write, a watch tells. */
export const changesDevice = (step: Step): boolean => CHANGES_UNSEEN.includes(step.kind);
