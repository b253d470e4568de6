// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFile } from 'node:fs/promises';
import { ApiError } from '../../api/audio-api.js';

/** What a call does, as polkit's actions below `org.xenproject.Audio1.` say it. */
export type Action = 'volume' | 'capture' | 'route' | 'manage';

export const GROUP = 'xen-audio';

/** How a question to polkit ended; `absent`: there is no polkit. */
export type PolkitAnswer = 'yes' | 'no' | 'needs-password' | 'absent' | 'silent';

/** What is known of a caller and of who may do something. */
export interface Grounds {
  readonly uid: number;
  /** The user that may do everything beside root: the daemon's own, on a bus of its user's; undefined on the system's. */
  readonly ownUid: number | undefined;
  /** Asked only when who the caller is does not decide. */
  polkit(): Promise<PolkitAnswer>;
  isGroupMember(): Promise<boolean>;
}

/**
 * Whether a caller may do something: root and, on a bus of its own, the daemon's user; else polkit decides where it
 * runs, else the group. Throws ApiError `NotAuthorized` when it may not.
 * @param what the call, for the message
 */
export const authorise = async (action: Action, what: string, grounds: Grounds): Promise<void> => {
  if (grounds.uid === 0 || grounds.uid === grounds.ownUid) return;
  const answer = await grounds.polkit();
  if (answer === 'yes') return;
  if (answer === 'absent' && (await grounds.isGroupMember())) return;
  throw new ApiError('NotAuthorized', `user ${grounds.uid} may not call ${what}: ${REMEDY[answer](action)}`);
};

const REMEDY: Readonly<Record<Exclude<PolkitAnswer, 'yes'>, (action: Action) => string>> = {
  no: (action) =>
    `polkit refuses org.xenproject.Audio1.${action}; a rule in /etc/polkit-1/rules.d can allow it`,
  'needs-password': (action) =>
    `polkit wants a password for org.xenproject.Audio1.${action}; call again with the flag ` +
    'ALLOW_INTERACTIVE_AUTHORIZATION and an authentication agent running',
  absent: () => `ask an administrator to add the user to the group ${GROUP} (adduser USER ${GROUP})`,
  silent: (action) =>
    `polkit gave no answer about org.xenproject.Audio1.${action}; see its log and that ` +
    'org.xenproject.Audio1.policy is installed in /usr/share/polkit-1/actions',
};

/** Files that say who is in a group. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

export const SYSTEM_ACCOUNTS: AccountFiles = { passwd: '/etc/passwd', group: '/etc/group' };

/** Whether a user is in a group, by the machine's account files. Throws Error when they cannot be read. */
export const readMembership = async (uid: number, group: string, files: AccountFiles): Promise<boolean> =>
  isMember(uid, group, await readFile(files.passwd, 'utf8'), await readFile(files.group, 'utf8'));

/** The same by the texts of the files, see passwd(5) and group(5). */
export const isMember = (uid: number, group: string, passwd: string, groups: string): boolean => {
  const [, , gid = '', members = ''] = fieldsOf(groups).find(([name]) => name === group) ?? [];
  if (gid === '') return false;
  return fieldsOf(passwd)
    .filter((fields) => fields[2] === String(uid))
    .some(
      ([name, , , primaryGid]) => primaryGid === gid || members.split(',').some((member) => member === name),
    );
};

const fieldsOf = (text: string): string[][] => text.split('\n').map((line) => line.trim().split(':'));
