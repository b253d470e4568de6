// SPDX-License-Identifier: LGPL-2.1-or-later
/** systemd's own logind, on a machine that neither systemd runs nor may fall asleep. Needs root. */
import { join } from 'node:path';

import { z } from 'zod';

import { BusConnection, BUS_NAME } from '../../controller/adapters/dbus/bus-connection.js';
import type { IncomingMessage } from '../../controller/adapters/dbus/wire/message.js';
import { Variant, type DBusValue } from '../../controller/adapters/dbus/wire/signature.js';
import { OwnedProcess } from './process.js';
import { waitFor, within } from './wait.js';

const LOGIN = 'org.freedesktop.login1';
const LOGIN_PATH = '/org/freedesktop/login1';
const SYSTEMD = 'org.freedesktop.systemd1';
const SYSTEMD_PATH = '/org/freedesktop/systemd1';
const JOB_PATH = `${SYSTEMD_PATH}/job/1`;
const START_MS = 20_000;
const SLEEP_MS = 30_000;

const nothing = (): void => undefined;
const NO_EVENTS = { call: nothing, busSignal: nothing, signal: nothing, lost: nothing };

/** logind finds no devices, and a kernel that could sleep; nothing is written to the machine's own. */
const LOGIND = `mount -t tmpfs none /run && mkdir /run/systemd &&
mount -t tmpfs none /sys/power && echo 'freeze mem' >/sys/power/state && exec /usr/lib/systemd/systemd-logind`;

/** who, what and mode of each; see `ListInhibitors` of logind's. */
const Inhibitors = z.tuple([
  z.array(z.tuple([z.string(), z.string(), z.string(), z.string(), z.number(), z.number()])),
]);

export class RealLogin {
  private constructor(
    private readonly systemd: Systemd,
    private readonly bus: BusConnection,
    private readonly process: OwnedProcess,
  ) {}

  /** @param address of the bus that logind is to be found on. @param dir of its log */
  static async start(address: string, dir: string): Promise<RealLogin> {
    const systemd = await Systemd.start(address);
    const bus = await BusConnection.open(address, NO_EVENTS);
    const logind = OwnedProcess.start('logind', 'unshare', ['--mount', 'sh', '-c', LOGIND], {
      env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: address, SYSTEMD_LOG_TARGET: 'console' },
      logFile: join(dir, 'logind.log'),
    });
    const login = new RealLogin(systemd, bus, logind);
    try {
      const isThere = async (): Promise<boolean> => (await bus.askBus('NameHasOwner', 's', LOGIN)) === 'true';
      await waitFor('logind to be on the bus', isThere, {
        timeoutMs: START_MS,
        detail: () => logind.logTail(),
      });
      return login;
    } catch (error) {
      await login.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.process.stop();
    await Promise.all([this.bus.close(), this.systemd.stop()]);
  }

  /** Who holds sleep up: `who: what, mode`. */
  async inhibitors(): Promise<string[]> {
    const [all] = Inhibitors.parse(await this.call('ListInhibitors'));
    return all.map(([what, who, , mode]) => `${who}: ${what}, ${mode}`);
  }

  /**
   * Lets the machine sleep, as a user's desktop does.
   * @param asleep what happens while it does; it wakes up afterwards
   * @returns how long logind waited for those who hold sleep up, milliseconds
   */
  async suspend(asleep: () => Promise<void>): Promise<number> {
    const begun = performance.now();
    const sleeping = this.systemd.nextJob();
    await this.call('Suspend', 'b', false);
    const job = await within('logind to let the machine sleep', SLEEP_MS, sleeping);
    const waitedMs = performance.now() - begun;
    try {
      await asleep();
    } finally {
      job.done();
    }
    return waitedMs;
  }

  private async call(member: string, signature = '', ...body: DBusValue[]): Promise<DBusValue[]> {
    const destination = await this.bus.askBus('GetNameOwner', 's', LOGIN);
    return this.bus.call({
      ...{ destination, path: LOGIN_PATH, interface: `${LOGIN}.Manager`, member, signature, body },
    });
  }
}

/** What logind asks of systemd: whether there is a suspend.target, and to start it. */
class Systemd {
  private bus: BusConnection | undefined;
  private started: ((job: { done(): void }) => void) | undefined;

  static async start(address: string): Promise<Systemd> {
    const systemd = new Systemd();
    systemd.bus = await BusConnection.open(address, {
      ...NO_EVENTS,
      call: (message) => {
        systemd.answer(message);
      },
    });
    await systemd.bus.callBus('RequestName', 'su', SYSTEMD, 0);
    return systemd;
  }

  async stop(): Promise<void> {
    await this.bus?.close();
  }

  /** Resolves when logind has started suspend.target. */
  nextJob(): Promise<{ done(): void }> {
    return new Promise((resolve) => {
      this.started = resolve;
    });
  }

  private answer(message: IncomingMessage): void {
    const { member, sender, serial } = message;
    const reply = (signature = '', ...values: DBusValue[]): void => {
      const to = sender ?? BUS_NAME;
      this.bus?.send({ type: 'return', destination: to, replySerial: serial, signature, body: values });
    };
    if (member === 'Get') {
      reply('v', new Variant('s', 'loaded'));
    } else if (member === 'StartUnit') {
      const [unit = ''] = message.body();
      reply('o', JOB_PATH);
      this.started?.({
        done: () => {
          this.bus?.send({
            ...{ type: 'signal', path: SYSTEMD_PATH, interface: `${SYSTEMD}.Manager`, member: 'JobRemoved' },
            ...{ signature: 'uoss', body: [1, JOB_PATH, unit, 'done'] },
          });
        },
      });
    } else {
      reply();
    }
  }
}
