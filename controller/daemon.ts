// SPDX-License-Identifier: LGPL-2.1-or-later
import type { DaemonConfig } from '../schemas/config.js';
import { readConfigFile } from './adapters/system/config-file.js';
import { exitNow } from './adapters/system/exit.js';
import type { LevelLog } from './adapters/system/level-log.js';
import { StreamLog } from './adapters/system/stream-log.js';
import { JournalLog, stderrIsJournal } from './adapters/systemd/journal-log.js';
import { ServiceManager } from './adapters/systemd/service-manager.js';
import { LibXenstore } from './adapters/xenstore/libxenstore.js';
import { statusLine } from './api/status-line.js';
import { Controller } from './controller.js';
import { messageOf } from './util/errors.js';
import { SerialQueue } from './util/queue.js';
import { withTimeout } from './util/timeout.js';

const TOPIC = 'controller';
/** Longest orderly stop; systemd is promised 5 s. */
const STOP_TIMEOUT_MS = 4_000;
const EXIT_FAILURE = 1;

/** xen-audiod as a process: signals, the service manager and the log, around a controller. */
export class Daemon {
  readonly #systemd = new ServiceManager();
  readonly #rereading = new SerialQueue();

  /** @param configPath undefined: the default file, if it exists */
  constructor(
    private readonly configPath: string | undefined,
    private readonly version: string,
  ) {}

  /**
   * Serves until a signal ends it. To systemd it is ready before xenstore is: what needs it need not wait, and it must not
   * be given up.
   * @throws XenAudioError `config`, `timeout` when it does not stop
   */
  async run(): Promise<void> {
    new LibXenstore(); // without the library, waiting for xenstore would be in vain
    const config = await readConfigFile(this.configPath);
    const log = stderrIsJournal(process.env)
      ? new JournalLog(config.logLevel)
      : new StreamLog(config.logLevel);
    const controller = new Controller(config, this.version, log);
    const stopped = this.#handleSignals(controller, log);
    await Promise.race([controller.start(), stopped]);
    const endStatus = this.#showStatus(controller);
    this.#systemd.ready();
    await stopped;
    endStatus();
    await withTimeout(controller.stop(), STOP_TIMEOUT_MS, 'stopping');
  }

  /** Resolves when a signal asks for the end. */
  #handleSignals(controller: Controller, log: LevelLog): Promise<void> {
    process.on('SIGHUP', () => {
      void this.#rereading.run(() => this.#reread(controller, log));
    });
    return new Promise((resolve) => {
      for (const name of ['SIGTERM', 'SIGINT'] as const) {
        process.once(name, () => {
          log.info(TOPIC, `${name}: stopping, running streams play on`);
          this.#systemd.stopping();
          setTimeout(() => exitNow(EXIT_FAILURE), STOP_TIMEOUT_MS).unref();
          resolve();
        });
      }
    });
  }

  #showStatus({ api }: Controller): () => void {
    const show = (): void => {
      this.#systemd.status(() => statusLine(api.manager(), api.guests()));
    };
    show();
    return api.subscribe({ changed: show, captureRequested: () => undefined });
  }

  /** Reads the settings again; those in force stay when there is a fault in the new ones. */
  async #reread(controller: Controller, log: LevelLog): Promise<void> {
    this.#systemd.reloading();
    try {
      const config = await this.#tryConfig(log);
      if (config === undefined) return;
      log.setLevel(config.logLevel);
      await controller.reload(config);
      log.info(TOPIC, 'SIGHUP: the settings have been read again');
    } catch (error) {
      log.error(TOPIC, `settings have not reached every stream, send SIGHUP again: ${messageOf(error)}`);
    } finally {
      this.#systemd.ready();
    }
  }

  async #tryConfig(log: LevelLog): Promise<DaemonConfig | undefined> {
    try {
      return await readConfigFile(this.configPath);
    } catch (error) {
      for (const line of messageOf(error).split('\n')) log.error(TOPIC, `settings left as they are: ${line}`);
      return undefined;
    }
  }
}
