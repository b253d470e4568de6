// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * What a domain can do with nodes, with the permission checks of xenstored. Paths are absolute. Each function throws
 * a StoreError when it refuses, and those that change something return what watches shall be told.
 */
import { childOf, parentOf } from './paths.js';
import {
  inherit,
  isAllowed,
  isPrivileged,
  type Access,
  type Caller,
  type Permissions,
} from './permissions.js';
import { walk, type StoreNode, type StoreView } from './store.js';
import { StoreError } from './wire.js';

export interface Change {
  readonly path: string;
  /** True for what vanished with a removed ancestor: only watches on exactly this path fire. */
  readonly isExact: boolean;
  /** A watcher who may read by any of these is told: the node's, its former, its parent's. */
  readonly visibleBy: readonly Permissions[];
}

const EMPTY = Buffer.alloc(0);

/** The value of a node. */
export const read = (view: StoreView, caller: Caller, path: string): Buffer =>
  requireNode(view, caller, path, 'read').value;

/** The names of a node's children. */
export const directory = (view: StoreView, caller: Caller, path: string): string[] => [
  ...requireNode(view, caller, path, 'read').children.keys(),
];

/** The permissions of a node. */
export const getPermissions = (view: StoreView, caller: Caller, path: string): Permissions =>
  requireNode(view, caller, path, 'read').permissions;

/** Sets a value; creates the node and its missing parents. */
export function write(view: StoreView, caller: Caller, path: string, value: Buffer): Change[] {
  const node = findNode(view, caller, path, 'write');
  if (node === undefined) return create(view, caller, path, value);
  view.set(path, value, node.permissions);
  return [changeOf(view, path)];
}

/** Makes sure that the node exists. */
export function mkdir(view: StoreView, caller: Caller, path: string): Change[] {
  return findNode(view, caller, path, 'write') === undefined ? create(view, caller, path, EMPTY) : [];
}

/** Removes the node and all below it; no error if only the node itself is missing. */
export function rm(view: StoreView, caller: Caller, path: string): Change[] {
  const node = findNode(view, caller, path, 'write');
  const parentPath = parentOf(path);
  if (parentPath === undefined) throw new StoreError('EINVAL', 'the root cannot be removed');
  const parent = view.get(parentPath);
  if (parent === undefined) throw new StoreError('ENOENT', `${parentPath} does not exist`);
  if (node === undefined) return [];

  const changes: Change[] = [];
  for (const [inner, { permissions }] of walk(node, path)) {
    view.get(inner);
    if (inner !== path) changes.push({ path: inner, isExact: true, visibleBy: [permissions] });
  }
  view.remove(path);
  return [{ path, isExact: false, visibleBy: [node.permissions, parent.permissions] }, ...changes];
}

/** Replaces a node's permissions; only its owner and dom0 may, and only dom0 may give it another owner. */
export function setPermissions(
  view: StoreView,
  caller: Caller,
  path: string,
  permissions: Permissions,
): Change[] {
  const node = requireNode(view, caller, path, 'own');
  if (!isPrivileged(caller) && permissions[0].domid !== node.permissions[0].domid) {
    throw new StoreError('EPERM', `only dom0 may change the owner of ${path}`);
  }
  view.set(path, node.value, permissions);
  return [changeOf(view, path, node.permissions)];
}

/** Creates the node with its missing parents; the caller has been found to be allowed to. */
function create(view: StoreView, caller: Caller, path: string, value: Buffer): Change[] {
  const parentPath = parentOf(path) ?? '/';
  if (view.get(parentPath) === undefined) create(view, caller, parentPath, EMPTY);
  const parent = view.get(parentPath);
  if (parent === undefined) throw new Error(`${parentPath} was not created`);
  view.set(path, value, inherit(parent.permissions, caller));
  return [changeOf(view, path)];
}

function changeOf(view: StoreView, path: string, former?: Permissions): Change {
  const parent = parentOf(path);
  const now = [view.get(path), parent === undefined ? undefined : view.get(parent)];
  const visibleBy = now.flatMap((node) => (node === undefined ? [] : [node.permissions]));
  return { path, isExact: false, visibleBy: former === undefined ? visibleBy : [...visibleBy, former] };
}

function requireNode(view: StoreView, caller: Caller, path: string, access: Access): StoreNode {
  const node = findNode(view, caller, path, access);
  if (node === undefined) throw new StoreError('ENOENT', `${path} does not exist`);
  return node;
}

/**
 * The node, if it exists. Refuses with EACCES what the caller may not do, also where the node is missing: then its
 * nearest existing ancestor decides, so that a domain learns nothing about what it may not see.
 */
function findNode(view: StoreView, caller: Caller, path: string, access: Access): StoreNode | undefined {
  const node = view.get(path);
  let nearest = node;
  for (let up = parentOf(path); nearest === undefined && up !== undefined; up = parentOf(up))
    nearest = view.get(up);
  if (nearest === undefined || !isAllowed(caller, nearest.permissions, access)) {
    throw new StoreError('EACCES', `domain ${caller.domid} has no ${access} access to ${path}`);
  }
  return node;
}

/** Makes a node as the toolstack lays it out, whatever was there before. */
export function put(view: StoreView, path: string, value: string, permissions: Permissions): Change[] {
  const changes = write(view, { domid: 0 }, path, Buffer.from(value));
  const node = view.get(path);
  if (node !== undefined) view.set(path, node.value, permissions);
  return changes;
}

/** Removes a node and all below it if it is there. */
export const removeIfPresent = (view: StoreView, path: string): Change[] =>
  view.get(path) === undefined ? [] : rm(view, { domid: 0 }, path);

/** Removes every node that a domain owns, with what is below it, as xenstored does when the domain is gone. */
export function removeOwnedBy(view: StoreView, domid: number, path = '/'): Change[] {
  const node = view.get(path);
  if (node === undefined) return [];
  if (path !== '/' && node.permissions[0].domid === domid) return removeIfPresent(view, path);
  return [...node.children.keys()].flatMap((name) => removeOwnedBy(view, domid, childOf(path, name)));
}
