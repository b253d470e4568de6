// SPDX-License-Identifier: LGPL-2.1-or-later

/** What failed, for programs; the message is for people. */
export type ErrorCode =
  | 'aborted'
  | 'config'
  | 'pulse-down'
  | 'pulse-refused'
  | 'timeout'
  | 'xenstore'
  | 'xenstore-denied'
  | 'xenstore-lost';

/** An error of ours: tested by `code`, never by its message. */
export class XenAudioError extends Error {
  override readonly name = 'XenAudioError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export const hasCode = (error: unknown, ...codes: ErrorCode[]): error is XenAudioError =>
  error instanceof XenAudioError && codes.includes(error.code);

/** The text of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether a call failed because a file is not there. */
export const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';
