// SPDX-License-Identifier: LGPL-2.1-or-later
/** Who may do what with a node (xenstore.txt, "Permissions"). Pure. */
import { StoreError } from './wire.js';

export interface Permission {
  readonly domid: number;
  readonly read: boolean;
  readonly write: boolean;
}

/** The first entry names the owner, and what everybody without an entry may do. */
export type Permissions = readonly [Permission, ...Permission[]];

/** Who asks: a domain, and the one it acts for (SET_TARGET), if any. */
export interface Caller {
  readonly domid: number;
  readonly targetDomid?: number | undefined;
}

export type Access = 'read' | 'write' | 'own';

export const isPrivileged = (caller: Caller): boolean => caller.domid === 0;

/** Permissions where only the owner (and dom0) has access. */
export const ownedBy = (domid: number): Permissions => [{ domid, read: false, write: false }];

/** As ownedBy, and reader may read. */
export const readableBy = (domid: number, reader: number): Permissions => [
  { domid, read: false, write: false },
  { domid: reader, read: true, write: false },
];

/** Whether the caller has this access to a node with these permissions. */
export function isAllowed(caller: Caller, permissions: Permissions, access: Access): boolean {
  const isCaller = (domid: number): boolean => domid === caller.domid || domid === caller.targetDomid;
  const [owner, ...others] = permissions;
  if (isPrivileged(caller) || isCaller(owner.domid)) return true;
  if (access === 'own') return false;
  return (others.find((entry) => isCaller(entry.domid)) ?? owner)[access];
}

/**
 * What a node has that a domain creates below another: the parent's permissions, but a domain other than dom0 owns
 * what it creates.
 */
export function inherit(parent: Permissions, caller: Caller): Permissions {
  if (isPrivileged(caller)) return parent;
  const [owner, ...others] = parent;
  return [{ ...owner, domid: caller.domid }, ...others];
}

const LETTERS: Readonly<Record<string, { read: boolean; write: boolean }>> = {
  n: { read: false, write: false },
  r: { read: true, write: false },
  w: { read: false, write: true },
  b: { read: true, write: true },
};

/**
 * Reads the wire's form: `n0`, `r5`, ….
 * @throws StoreError EINVAL
 */
export function parsePermissions(texts: readonly string[]): Permissions {
  const entries = texts.map((text): Permission => {
    const access = LETTERS[text.charAt(0)];
    const domid = Number(text.slice(1));
    if (access === undefined || !/^\d{1,5}$/.test(text.slice(1)) || domid > 0xffff) {
      throw new StoreError(
        'EINVAL',
        `not a permission: '${text}'; it looks like r5: one of n, r, w, b, and a domid`,
      );
    }
    return { domid, ...access };
  });
  const [first, ...others] = entries;
  if (first === undefined) throw new StoreError('EINVAL', 'no permission given');
  return [first, ...others];
}

/** Writes the wire's form. */
export const formatPermissions = (permissions: Permissions): string[] =>
  permissions.map(({ domid, read, write }) => `${read ? (write ? 'b' : 'r') : write ? 'w' : 'n'}${domid}`);
