// SPDX-License-Identifier: LGPL-2.1-or-later

/** An option's value as a number. @throws Error that says what was expected */
export function numberFrom(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!(value >= min && value <= max)) {
    throw new Error(`--${name} ${text}: expected a number from ${min} to ${max}`);
  }
  return value;
}
