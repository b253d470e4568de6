#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
import { parseArgs } from 'node:util';
import { createRequire } from 'node:module';
import type { DaemonConfig } from '../schemas/config.js';
import { DEFAULT_CONFIG_PATH, readConfigFile } from './adapters/system/config-file.js';
import { exitNow } from './adapters/system/exit.js';
import { StreamLog } from './adapters/system/stream-log.js';
import type { Controller } from './controller.js';
import { hasCode, messageOf } from './util/errors.js';
import { SerialQueue } from './util/queue.js';
import { withTimeout } from './util/timeout.js';

const EXIT_OK = 0;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
/** Longest orderly stop. */
const STOP_TIMEOUT_MS = 4_000;

const HELP = `Usage: xen-audiod [OPTION]...
Connects the vsnd sound cards of Xen guests to PulseAudio.

  --config FILE   read settings from FILE (default: ${DEFAULT_CONFIG_PATH}, if it exists)
  --check-config  check the settings and exit
  --version       print the version and exit
  --help          print this and exit

SIGHUP reads the settings again: who may record changes at once, the rest at the next start.
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

/** Reads the settings again; those in force stay when there is a fault in the new ones. */
const reread = async (path: string | undefined, controller: Controller, log: StreamLog): Promise<void> => {
  let config: DaemonConfig;
  try {
    config = await readConfigFile(path);
  } catch (error) {
    for (const line of messageOf(error).split('\n'))
      log.error('controller', `settings left as they are: ${line}`);
    return;
  }
  try {
    log.setLevel(config.logLevel);
    await controller.reload(config);
    log.info('controller', 'SIGHUP: the settings have been read again');
  } catch (error) {
    log.error('controller', `settings have not reached every stream, send SIGHUP again: ${messageOf(error)}`);
  }
};

const serve = async (configPath: string | undefined): Promise<number> => {
  const config = await readConfigFile(configPath);
  const log = new StreamLog(config.logLevel);
  const { Controller } = await import('./controller.js');
  const stopping = new AbortController();
  let failure: Error | undefined;
  const fatal = (error: unknown): void => {
    failure ??= new Error(`cannot go on: ${messageOf(error)}`, { cause: error });
    stopping.abort();
  };
  const controller = new Controller(config, log, fatal);
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => {
      resolve();
    });
  });
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      log.info('controller', `${name}: stopping, running streams play on`);
      setTimeout(() => exitNow(EXIT_FAILURE), STOP_TIMEOUT_MS).unref();
      stopping.abort();
    });
  }
  const rereading = new SerialQueue();
  process.on('SIGHUP', () => {
    void rereading.run(() => reread(configPath, controller, log));
  });
  try {
    await controller.start(stopping.signal);
    await stopped;
  } catch (error) {
    throw failure ?? error;
  }
  // Stopped after a failure too: a watch loop that still waits would keep the process from ending.
  try {
    await withTimeout(controller.stop(), STOP_TIMEOUT_MS, 'stopping');
  } catch (error) {
    failure ??= error instanceof Error ? error : new Error(messageOf(error));
  }
  if (failure !== undefined) throw failure;
  return EXIT_OK;
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
  else if (values['check-config'] === true) await readConfigFile(values.config);
  else return await serve(values.config);
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
