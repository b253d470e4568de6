// SPDX-License-Identifier: LGPL-2.1-or-later

/** A decision with its reason, for logs and whoever asks. */
export interface PolicyDecision {
  readonly allowed: boolean;
  readonly reason: string;
}
