// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFile } from 'node:fs/promises';
import { parsePolicy } from '../adapters/system/policy-file.js';
import { hasCode, messageOf } from '../util/errors.js';
import type { Printer } from './run.js';
import { CommandError, Status } from './status.js';

/** Checks a policy file. @throws CommandError `failure` with a line per fault */
export const checkPolicy = async (file: string, printer: Printer): Promise<void> => {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new CommandError(Status.failure, `${file}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    parsePolicy(file, text);
  } catch (error) {
    if (!hasCode(error, 'config')) throw error;
    throw new CommandError(Status.failure, error.message, { cause: error });
  }
  printer.print([`${file}: no fault found`], {});
};
