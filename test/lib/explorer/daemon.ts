// SPDX-License-Identifier: LGPL-2.1-or-later
import type { LogMessage, LogPort } from '../../../controller/device/ports.js';
import { DeviceRegistry } from '../../../controller/device/registry.js';
import { Guests } from '../../../controller/guest/guests.js';
import { DaemonConfig } from '../../../schemas/config.js';
import type { GuestRecord } from '../../../schemas/guest-record.js';
import type { FakeXenstore } from '../fake-ports.js';
import { policyWith } from '../policies.js';
import { Gate } from './gate.js';
import { Connection, ProcessClock, ServerConnection, type Time } from './processes.js';
import type { SoundServer } from './sound-server.js';

const CONFIG = DaemonConfig.parse({});
const POLICY = policyWith({});
/** After this a session that could not start is tried again. */
const RETRY_MS = 500;

/** Keeps the lines. */
export class Lines implements LogPort {
  readonly lines: string[] = [];
  readonly error = this.#keep('error');
  readonly warning = this.#keep('warning');
  readonly info = this.#keep('info');
  readonly debug = this.#keep('debug');

  #keep(level: string): (topic: string, message: LogMessage) => void {
    return (_topic, message) => {
      this.lines.push(`${level}: ${typeof message === 'string' ? message : message()}`);
    };
  }
}

/** What a daemon runs on; all of it outlives the daemon. */
export interface Machine {
  readonly store: FakeXenstore;
  readonly time: Time;
  readonly server: SoundServer;
  readonly log: Lines;
  readonly records: Map<string, GuestRecord>;
  /** Told what the daemon writes beside a backend's state. */
  readonly onWrite: (directory: string, nodes: Readonly<Record<string, string>>) => void;
}

/** The process xen-audiod: one connection to the sound server, and sessions of xenstore one after the other. */
export class Daemon {
  readonly gate: Gate;
  readonly pulse: ServerConnection;
  readonly #clock: ProcessClock;
  connection: Connection;
  guests: Guests;
  registry: DeviceRegistry;
  /** Settles when the session has begun, or could not. */
  #begun: Promise<void> = Promise.resolve();
  /** Until a session that ends has ended. */
  busy = false;

  constructor(
    private readonly machine: Machine,
    open: boolean,
  ) {
    this.gate = new Gate(open);
    this.#clock = new ProcessClock(machine.time);
    this.pulse = new ServerConnection(machine.server, this.gate, machine.time);
    [this.connection, this.guests, this.registry] = this.#makeSession();
    this.#start();
  }

  setSuspended(suspended: boolean): void {
    for (const guest of this.guests.all) {
      guest.setSuspended(suspended);
      this.registry.lookAt(guest.state().domid);
    }
  }

  /** It dies where it stands. */
  crash(): void {
    this.gate.cut();
    this.machine.time.drop(this.#clock);
    void this.connection.lose();
  }

  /** The connection to xenstore breaks, and another session begins, as controller/keeper.ts does it. */
  loseSession(): void {
    if (this.busy) return;
    void this.connection.lose();
    this.end(() => {
      [this.connection, this.guests, this.registry] = this.#makeSession();
      this.#start();
    });
  }

  /** Lets go of everything, in order; streams play on. */
  end(then: () => void): void {
    if (this.busy) return;
    this.busy = true;
    const ended = (): void => {
      this.busy = false;
      then();
    };
    this.#begun.then(() => this.registry.stop()).then(ended, ended);
  }

  #makeSession(): [Connection, Guests, DeviceRegistry] {
    const { store, log, records, onWrite } = this.machine;
    const clock = this.#clock;
    const xenstore = new Connection(store, this.gate, onWrite);
    const guests = new Guests({
      clock,
      log,
      xenstore,
      levels: false,
      events: { changed: () => undefined, captureRequested: () => undefined },
      records: {
        read: (uuid) => records.get(uuid) ?? {},
        write: (uuid, record) => records.set(uuid, record),
      },
      policyOf: () => POLICY,
      suspendedDomidOf: () => undefined,
    });
    const pulse = this.pulse;
    return [
      xenstore,
      guests,
      new DeviceRegistry({ ownDomid: 0, config: CONFIG, xenstore, pulse, clock, log, guests }),
    ];
  }

  #start(): void {
    this.#begun = this.registry.start().catch(() => {
      this.#clock.after(RETRY_MS, () => {
        this.loseSession();
      });
    });
  }
}
