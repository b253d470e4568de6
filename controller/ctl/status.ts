// SPDX-License-Identifier: LGPL-2.1-or-later

/** Exit statuses of the commands, for scripts; docs/man/xen-audioctl.1 describes them. */
export const Status = {
  ok: 0,
  failure: 1,
  usage: 2,
  notRunning: 3,
  noSuchGuest: 4,
  notAuthorised: 5,
  refused: 6,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** Why a command did not succeed: a message for people and a status for scripts. */
export class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(
    readonly status: Status,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
