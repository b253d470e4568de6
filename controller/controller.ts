// SPDX-License-Identifier: LGPL-2.1-or-later
import { DomId } from '../schemas/primitives.js';
import type { DaemonConfig } from '../schemas/config.js';
import { PulseAdapter } from './adapters/pulse/pulse-adapter.js';
import { SystemClock } from './adapters/system/system-clock.js';
import { XenstoreAdapter } from './adapters/xenstore/xenstore-adapter.js';
import type { LogPort, XenstorePort } from './device/ports.js';
import { DeviceRegistry } from './device/registry.js';
import { differences } from './util/differences.js';
import { XenAudioError } from './util/errors.js';
import { quoted } from './util/text.js';

const TOPIC = 'controller';
/** Settings that `reload` puts in force; those of the log are its caller's. */
const CHANGEABLE = ['capture.allowed', 'logLevel'];

/** The composition root: makes everything, starts it in order, stops it in reverse. Running streams survive a stop. */
export class Controller {
  readonly #stops: (() => Promise<void>)[] = [];
  #config: DaemonConfig;
  #registry: DeviceRegistry | undefined;

  constructor(
    config: DaemonConfig,
    private readonly log: LogPort,
    /** Called once when the daemon cannot go on. */
    private readonly onFatal: (error: unknown) => void,
  ) {
    this.#config = config;
  }

  /** Starts serving. On failure, or when `signal` aborts, what was started is stopped before this rejects. */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#start(signal);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Puts in force what can be changed while streams run, and says in the log what cannot. */
  async reload(config: DaemonConfig): Promise<void> {
    for (const setting of differences(this.#config, config)) {
      if (!CHANGEABLE.includes(setting)) {
        this.log.warning(TOPIC, `${setting} has changed: it takes effect when xen-audiod is started again`);
      }
    }
    this.#config = { ...this.#config, logLevel: config.logLevel, capture: config.capture };
    await this.#registry?.changeCapture(config.capture);
  }

  /** Stops in reverse order of start; modules keep playing. */
  async stop(): Promise<void> {
    for (let stop = this.#stops.pop(); stop !== undefined; stop = this.#stops.pop()) await stop();
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { log } = this;
    const config = this.#config;
    const clock = new SystemClock();
    const xenstore = await XenstoreAdapter.open(log, this.onFatal);
    this.#stops.push(() => xenstore.close());
    const ownDomid = await readOwnDomid(xenstore);
    throwIfAborted(signal);

    const options = { server: config.pulse.server, timeoutMs: config.handshake.timeoutMs / 2 };
    const pulse = new PulseAdapter(options, clock, log);
    this.#stops.push(() => pulse.stop());
    await pulse.start();
    throwIfAborted(signal);

    // Settings may have been read again meanwhile.
    const registry = new DeviceRegistry({ ownDomid, config: this.#config, xenstore, pulse, clock, log });
    this.#registry = registry;
    this.#stops.push(() => registry.stop());
    await registry.start();
    throwIfAborted(signal);
    log.info(TOPIC, `serving vsnd devices of domain ${ownDomid}`);
  }
}

const readOwnDomid = async (xenstore: XenstorePort): Promise<number> => {
  const text = await xenstore.read('domid');
  const domid = DomId.safeParse(text);
  if (domid.success) return domid.data;
  throw new XenAudioError(
    'xenstore',
    `domid: found ${text === undefined ? 'nothing' : quoted(text)}, expected this domain's number: has xen-init-dom0 run?`,
  );
};

const throwIfAborted = (signal: AbortSignal): void => {
  if (signal.aborted) throw new XenAudioError('aborted', 'stopped while starting');
};
