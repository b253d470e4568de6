// SPDX-License-Identifier: LGPL-2.1-or-later

/** How text stands out; on what is no terminal it does not. */
export interface Style {
  title(text: string): string;
  alert(text: string): string;
}

export const PLAIN: Style = { title: (text) => text, alert: (text) => text };

const COLOURED: Style = {
  title: (text) => `\x1b[1m${text}\x1b[22m`,
  alert: (text) => `\x1b[31m${text}\x1b[39m`,
};

/** The style for an output; NO_COLOR as in no-color.org. */
export const styleFor = (isTerminal: boolean, env: NodeJS.ProcessEnv): Style =>
  isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb' ? COLOURED : PLAIN;
