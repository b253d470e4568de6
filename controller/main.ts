#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { exitNow } from './adapters/system/exit.js';
import { hasCode, messageOf } from './util/errors.js';

// What a command needs is imported when it is known: most of what xen-audiod takes to start is reading its modules.

const EXIT_OK = 0;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const HELP = `Usage: xen-audiod [OPTION]...
Connects the vsnd sound cards of Xen guests to PulseAudio.

  --config FILE   read settings from FILE (default: /etc/xen-audio/xen-audiod.yaml, if it exists)
  --check-config  check the settings and exit
  --version       print the version and exit
  --help          print this and exit

SIGHUP reads settings and policy again. The policy is also read again when its file changes.
Exit status: 0 stopped as asked, 1 failure, 2 wrong arguments or settings.
`;

const parseArguments = (): { config?: string; help?: boolean; version?: boolean; 'check-config'?: boolean } =>
  parseArgs({
    options: {
      config: { type: 'string' },
      'check-config': { type: 'boolean' },
      version: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  }).values;

const complain = (error: unknown): void => {
  for (const line of messageOf(error).split('\n')) process.stderr.write(`xen-audiod: ${line}\n`);
};

/** From the package's own file, above the sources or above build/js. */
const version = (): string => {
  const require = createRequire(import.meta.url);
  for (const path of ['../package.json', '../../../package.json']) {
    try {
      const { name, version: found } = require(path) as { name?: string; version?: string };
      if (name === 'xen-audio' && found !== undefined) return found;
    } catch {
      // Not there: the next place.
    }
  }
  return 'unknown';
};

const main = async (): Promise<number> => {
  let values: ReturnType<typeof parseArguments>;
  try {
    values = parseArguments();
  } catch (error) {
    complain(error);
    process.stderr.write('Try "xen-audiod --help".\n');
    return EXIT_USAGE;
  }
  if (values.help === true) process.stdout.write(HELP);
  else if (values.version === true) process.stdout.write(`xen-audiod ${version()}\n`);
  else if (values['check-config'] === true) {
    const { readConfigFile } = await import('./adapters/system/config-file.js');
    await readConfigFile(values.config);
  } else {
    const { Daemon } = await import('./daemon.js');
    await new Daemon(values.config, version()).run();
  }
  return EXIT_OK;
};

let status: number;
try {
  status = await main();
} catch (error) {
  if (hasCode(error, 'aborted')) status = EXIT_OK;
  else {
    complain(error);
    status = hasCode(error, 'config') ? EXIT_USAGE : EXIT_FAILURE;
  }
}
exitNow(status);
