// SPDX-License-Identifier: LGPL-2.1-or-later

/** Where two settings of the same shape differ, as dotted paths: `limits.rateMax`. Lists are compared as a whole. */
export const differences = (before: unknown, after: unknown, path = ''): string[] => {
  if (!isGroup(before) || !isGroup(after))
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [path];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) =>
    differences(before[key], after[key], path === '' ? key : `${path}.${key}`),
  );
};

const isGroup = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
