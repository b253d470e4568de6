// SPDX-License-Identifier: LGPL-2.1-or-later
/** Xenstore paths: what is allowed, and how relative ones are read. Pure. */
import { StoreError } from './wire.js';

const ABSOLUTE_MAX = 3072;
const RELATIVE_MAX = 2048;
const ALLOWED = /^[A-Za-z0-9\-/_@]+$/;

export const isSpecial = (path: string): boolean => path.startsWith('@');
export const isRelative = (path: string): boolean => !path.startsWith('/') && !isSpecial(path);
export const domainPath = (domid: number): string => `/local/domain/${domid}`;

/**
 * The absolute form of a path as a domain wrote it.
 * @param base what relative paths start from
 * @throws StoreError EINVAL for an empty, too long or malformed path
 */
export function canonicalise(path: string, base: string): string {
  const limit = isRelative(path) ? RELATIVE_MAX : ABSOLUTE_MAX;
  const wellFormed =
    ALLOWED.test(path) &&
    !path.includes('//') &&
    (path === '/' || !path.endsWith('/')) &&
    path.length <= limit;
  const absolute = isRelative(path) ? `${base}/${path}` : path;
  if (!wellFormed || absolute.length > ABSOLUTE_MAX) throw new StoreError('EINVAL', `not a path: '${path}'`);
  return absolute;
}

/** The same, where a special watch name (`@releaseDomain`) is no path of a node. */
export function canonicaliseNode(path: string, base: string): string {
  if (isSpecial(path)) throw new StoreError('EINVAL', `not the path of a node: '${path}'`);
  return canonicalise(path, base);
}

/** The names on the way from the root; none for the root itself. */
export const segments = (path: string): string[] => (path === '/' ? [] : path.slice(1).split('/'));

/** The parent of an absolute path; undefined for the root. */
export function parentOf(path: string): string | undefined {
  if (path === '/') return undefined;
  const slash = path.lastIndexOf('/');
  return slash === 0 ? '/' : path.slice(0, slash);
}

export const childOf = (path: string, name: string): string =>
  path === '/' ? `/${name}` : `${path}/${name}`;

/** A path and those of all its ancestors. */
export function lineage(path: string): string[] {
  const paths: string[] = [];
  for (let up: string | undefined = path; up !== undefined; up = parentOf(up)) paths.push(up);
  return paths;
}
