// SPDX-License-Identifier: LGPL-2.1-or-later
import { hasCode } from '../../util/errors.js';
import type { Action, PolkitAnswer } from './authorise.js';
import type { BusConnection } from './bus-connection.js';
import { isStandardError } from './errors.js';
import { Variant, type DBusValue } from './wire/signature.js';

const POLKIT = 'org.freedesktop.PolicyKit1';
const AUTHORITY = { path: '/org/freedesktop/PolicyKit1/Authority', interface: `${POLKIT}.Authority` };
const ALLOW_USER_INTERACTION = 1;

/** How long polkit may take, milliseconds: without a human, and with one who types a password. */
export interface PolkitLimits {
  readonly silentMs: number;
  readonly interactiveMs: number;
}

export const POLKIT_LIMITS: PolkitLimits = { silentMs: 5_000, interactiveMs: 120_000 };

/** Numbers the questions, so that one can be called off. */
let questions = 0;

/** Asks polkit whether a caller may do something; starts it when it can be started. Never throws. */
export const askPolkit = async (
  bus: BusConnection,
  caller: string,
  action: Action,
  interactive: boolean,
  limits: PolkitLimits,
): Promise<PolkitAnswer> => {
  let polkit: string;
  try {
    polkit = await ownerOfPolkit(bus);
  } catch (error) {
    return isStandardError(error, 'ServiceUnknown') ? 'absent' : 'silent';
  }
  questions += 1;
  const id = `xen-audiod-${questions}`;
  const subject = ['system-bus-name', [['name', new Variant('s', caller)]]];
  const flags = interactive ? ALLOW_USER_INTERACTION : 0;
  const question = {
    ...{ ...AUTHORITY, destination: polkit, member: 'CheckAuthorization', signature: '(sa{sv})sa{ss}us' },
    body: [subject, `org.xenproject.Audio1.${action}`, [], flags, id],
  };
  try {
    return answerOf(await bus.call(question, interactive ? limits.interactiveMs : limits.silentMs));
  } catch (error) {
    if (hasCode(error, 'timeout')) {
      const cancel = { ...AUTHORITY, destination: polkit, member: 'CancelCheckAuthorization' };
      bus.send({ ...cancel, type: 'call', flags: 1, signature: 's', body: [id] });
    }
    return 'silent';
  }
};

/** Polkit's unique name, so that nobody else can answer. The bus does not say that it starts on demand before it runs. */
const ownerOfPolkit = async (bus: BusConnection): Promise<string> => {
  try {
    return await bus.askBus('GetNameOwner', 's', POLKIT);
  } catch (error) {
    if (!isStandardError(error, 'NameHasNoOwner')) throw error;
    await bus.callBus('StartServiceByName', 'su', POLKIT, 0);
    return bus.askBus('GetNameOwner', 's', POLKIT);
  }
};

/** `(bba{ss})`: authorised, would be after a challenge, details. */
const answerOf = ([result]: readonly DBusValue[]): PolkitAnswer => {
  const [authorized, challenge] = Array.isArray(result) ? (result as readonly DBusValue[]) : [];
  if (authorized === true) return 'yes';
  return challenge === true ? 'needs-password' : 'no';
};
