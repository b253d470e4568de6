// SPDX-License-Identifier: LGPL-2.1-or-later
import { ApiError } from '../../api/audio-api.js';

/** Errors of D-Bus itself that we answer or meet. */
export type StandardError =
  | 'AccessDenied'
  | 'Failed'
  | 'InvalidArgs'
  | 'LimitsExceeded'
  | 'NameHasNoOwner'
  | 'PropertyReadOnly'
  | 'ServiceUnknown'
  | 'UnknownInterface'
  | 'UnknownMethod'
  | 'UnknownObject'
  | 'UnknownProperty';

/** An error with its name on the bus: of D-Bus' own, received from another service, or ours. */
export class DbusError extends Error {
  override readonly name = 'DbusError';

  constructor(
    readonly errorName: string,
    message: string,
  ) {
    super(message);
  }
}

export const standardError = (error: StandardError, message: string): DbusError =>
  new DbusError(`org.freedesktop.DBus.Error.${error}`, message);

/** The name that an error of the API has on the bus. */
export const apiError = ({ code, message }: ApiError): DbusError =>
  new DbusError(`org.xenproject.Audio1.Error.${code}`, message);

export const isStandardError = (error: unknown, ...codes: StandardError[]): error is DbusError =>
  error instanceof DbusError &&
  codes.some((code) => error.errorName === `org.freedesktop.DBus.Error.${code}`);
