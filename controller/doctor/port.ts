// SPDX-License-Identifier: LGPL-2.1-or-later

/** What a program printed; `code` undefined: it is not installed, or did not end in time. */
export interface Printed {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the checks see of the machine. Nothing is changed. */
export interface DoctorPort {
  /** Undefined when it is absent or cannot be read. */
  readFile(path: string): Promise<Buffer | undefined>;
  exists(path: string): Promise<boolean>;
  /** Whether this user may read and write it. */
  canUse(path: string): Promise<boolean>;
  /** Whether the dynamic linker finds a library. */
  findsLibrary(soname: string): boolean;
  /** A node of xenstore. @throws XenAudioError */
  readXenstore(path: string): Promise<string | undefined>;
  run(command: string, args: readonly string[]): Promise<Printed>;
  /** Reads settings and the policy that they name. @throws XenAudioError `config` */
  checkSettings(): Promise<{ readonly policyFile: string }>;
}
