// SPDX-License-Identifier: LGPL-2.1-or-later

/** Makes text of a guest fit for one log line: control characters escaped, length bounded. */
export const quoted = (text: string, lengthMax = 64): string => {
  const short = text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text;
  return JSON.stringify(short).replace(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, escapeCharacter);
};

/** Makes text of a guest fit to be shown as a name: what could break or disguise a line becomes U+FFFD. */
export const displayName = (text: string, lengthMax = 128): string =>
  Array.from(text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\ufffd'))
    .slice(0, lengthMax)
    .join('');

const escapeCharacter = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
