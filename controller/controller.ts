// SPDX-License-Identifier: LGPL-2.1-or-later
import { join } from 'node:path';
import type { DaemonConfig } from '../schemas/config.js';
import { DbusService } from './adapters/dbus/dbus-service.js';
import { takeInhibitor } from './adapters/login1/inhibitor.js';
import { SleepWatch } from './adapters/login1/sleep-watch.js';
import { PulseAdapter } from './adapters/pulse/pulse-adapter.js';
import { PolicyFile } from './adapters/system/policy-file.js';
import { RecordFile } from './adapters/system/record-file.js';
import { SystemClock } from './adapters/system/system-clock.js';
import { watchFileIfPossible } from './adapters/system/watch-file.js';
import { xenstoredSocket } from './adapters/xenstore/end-watch.js';
import type { AudioApi } from './api/audio-api.js';
import { AudioService } from './api/audio-service.js';
import type { LogPort } from './device/ports.js';
import { Keeper } from './keeper.js';
import { silenced, whileAsleep } from './sleep.js';
import { evaluatePolicy, type GuestPolicy } from './policy/evaluate.js';
import type { GuestIdentity } from './policy/match.js';
import { Session } from './session.js';
import { differences } from './util/differences.js';

const TOPIC = 'controller';
/** Settings that `reload` puts in force; those of the log are its caller's. */
const CHANGEABLE = ['logLevel'];
const RECORDS_NAME = 'guests.json';

/**
 * The composition root: makes everything, starts it in order, stops it in reverse. Running streams survive a stop. What is
 * built on xenstore is a session, made anew when that connection breaks.
 */
export class Controller {
  readonly #stops: (() => Promise<void>)[] = [];
  readonly #clock = new SystemClock();
  readonly #stopping = new AbortController();
  readonly #records: RecordFile;
  readonly #policy: PolicyFile;
  readonly #pulse: PulseAdapter;
  readonly #service: AudioService;
  readonly #session: Keeper<Session>;
  readonly #sleep: SleepWatch;
  readonly #dbus: DbusService | undefined;
  #asleep = false;

  constructor(
    private config: DaemonConfig,
    version: string,
    private readonly log: LogPort,
  ) {
    const clock = this.#clock;
    const timeoutMs = config.handshake.timeoutMs / 2;
    this.#records = new RecordFile(join(config.stateDir, RECORDS_NAME), clock, log);
    this.#policy = new PolicyFile(config.policyFile, clock, log, () => this.#policyChanged());
    this.#pulse = new PulseAdapter({ server: config.pulse.server, timeoutMs }, clock, log);
    this.#service = new AudioService({
      session: () => this.#session.current,
      pulse: this.#pulse,
      clock,
      log,
      manager: () => ({
        version,
        ownDomain: this.#session.current?.ownDomid ?? 0,
        xenstoreUp: this.#session.current !== undefined,
        soundServerUp: this.#pulse.isUp,
        policyFile: config.policyFile,
        policyError: this.#policy.error,
      }),
      reload: () => this.#policy.reload(),
    });
    const changed = (): void => {
      this.#service.changed();
    };
    this.#pulse.onChange(changed);
    this.#session = new Keeper(
      (onLost) => this.#startSession(onLost),
      clock,
      log,
      changed,
      (listener) => watchFileIfPossible(xenstoredSocket(process.env), clock, listener),
    );
    const bus = config.dbus;
    const sleeper = { pause: () => this.#setAsleep(true), resume: () => this.#setAsleep(false) };
    this.#sleep = new SleepWatch(sleeper, takeInhibitor, log);
    this.#dbus =
      bus === 'none'
        ? undefined
        : new DbusService({ bus, api: this.#service, clock, log, sleep: this.#sleep });
  }

  /** What it offers, and tells, to the outside. */
  get api(): AudioApi {
    return this.#service;
  }

  /**
   * Resolves when it serves; what is not there yet (xenstore, the sound server, the bus) is waited for in the
   * background. On failure what was started is stopped before this rejects.
   * @throws XenAudioError `config`
   */
  async start(): Promise<void> {
    try {
      await this.#begin(this.#policy);
      await this.#begin(this.#records);
      await this.#begin(this.#pulse);
      await this.#begin(this.#session);
      this.#stops.push(() => this.#service.stop());
      this.#stops.push(() => this.#sleep.stop());
      if (this.#dbus !== undefined) await this.#begin(this.#dbus);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Puts in force what can be changed while streams run, and says in the log what cannot. @throws XenAudioError `config` */
  async reload(config: DaemonConfig): Promise<void> {
    for (const setting of differences(this.config, config)) {
      if (!CHANGEABLE.includes(setting)) {
        this.log.warning(TOPIC, `${setting} has changed: it takes effect when xen-audiod is started again`);
      }
    }
    this.config = { ...this.config, logLevel: config.logLevel };
    await this.#policy.reload();
  }

  /** Stops in reverse order of start; modules keep playing. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (let stop = this.#stops.pop(); stop !== undefined; stop = this.#stops.pop()) await stop();
  }

  /** Stops it as well when it has started half. */
  async #begin(part: { start(): Promise<void>; stop(): Promise<void> }): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stops.push(() => part.stop());
    await part.start();
  }

  #startSession(onLost: (error: unknown) => void): Promise<Session> {
    const context = {
      config: this.config,
      clock: this.#clock,
      log: this.log,
      pulse: this.#pulse,
      records: this.#records,
      service: this.#service,
      policyOf: (guest: GuestIdentity) => this.#policyOf(guest),
    };
    return Session.start(context, this.#stopping.signal, onLost);
  }

  #policyOf(guest: GuestIdentity): GuestPolicy {
    const policy = evaluatePolicy(this.#policy.policy, guest);
    return this.#asleep ? whileAsleep(policy) : policy;
  }

  /** Resolves, when it falls asleep, once nothing plays or records any more. */
  async #setAsleep(asleep: boolean): Promise<void> {
    this.#asleep = asleep;
    await this.#policyChanged();
    if (asleep) await silenced(this.#service, this.#clock);
  }

  async #policyChanged(): Promise<void> {
    await this.#session.current?.policyChanged();
    this.#service.changed();
  }
}
