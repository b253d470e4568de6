// SPDX-License-Identifier: LGPL-2.1-or-later
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Message, sessionBus, type MessageBus, type Variant } from 'dbus-next';
import { OwnedProcess } from './process.js';
import { waitFor, within } from './wait.js';

const NAME = 'org.freedesktop.Notifications';
const PATH = '/org/freedesktop/Notifications';
const DUNST = 'org.dunstproject.cmd0';
const START_MS = 20_000;

/** A screen that nobody sees. */
export class Screen {
  private constructor(
    readonly display: string,
    private readonly server: OwnedProcess,
  ) {}

  /** @param directory of its log */
  static async start(directory: string): Promise<Screen> {
    const server = OwnedProcess.start(
      'Xvfb',
      'Xvfb',
      ['-displayfd', '1', '-nolisten', 'tcp', '-screen', '0', '640x480x24'],
      { logFile: join(directory, 'xvfb.log'), pipe: { stdout: true } },
    );
    try {
      const number = new Promise<string>((resolve) => {
        createInterface({ input: server.stdout }).once('line', resolve);
      });
      return new Screen(`:${await within('Xvfb to start', START_MS, number)}`, server);
    } catch (error) {
      await server.kill();
      throw new Error(`Xvfb did not start\n${server.logTail()}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await this.server.stop();
  }
}

/** A real notification daemon, dunst, and a user who can choose from its menu. */
export class NotificationDaemon {
  private constructor(
    private readonly directory: string,
    private readonly dunst: OwnedProcess,
    private readonly bus: MessageBus,
  ) {}

  /** @param address of the session's bus */
  static async start(directory: string, display: string, address: string): Promise<NotificationDaemon> {
    const menu = join(directory, 'menu.sh');
    // What dunst takes for dmenu: keeps the menu it is given, and chooses the line that has what the test wants.
    writeFileSync(menu, `#!/bin/sh\ntee '${directory}/menu' | grep -F -f '${directory}/choice'\n`);
    chmodSync(menu, 0o700);
    const config = join(directory, 'dunstrc');
    writeFileSync(config, `[global]\n    dmenu = ${menu}\n    idle_threshold = 0\n`);
    const dunst = OwnedProcess.start('dunst', 'dunst', ['-config', config], {
      env: { ...process.env, DISPLAY: display, DBUS_SESSION_BUS_ADDRESS: address },
      logFile: join(directory, 'dunst.log'),
    });
    const bus = sessionBus({ busAddress: address });
    bus.on('error', () => undefined); // shows in the calls
    const daemon = new NotificationDaemon(directory, dunst, bus);
    try {
      await waitFor('dunst', () => daemon.displayed().then(() => true), {
        timeoutMs: START_MS,
        detail: () => dunst.logTail(),
      });
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    return daemon;
  }

  /** How many notifications are on the screen. */
  async displayed(): Promise<number> {
    const reply = await this.#call('org.freedesktop.DBus.Properties', 'Get', 'ss', [
      DUNST,
      'displayedLength',
    ]);
    return (reply[0] as Variant<number>).value;
  }

  /** The lines of the menu: the actions of all notifications, with the summaries of these. */
  async menu(): Promise<string[]> {
    return this.choose('nothing that is there');
  }

  /** Chooses the line of the menu that has a text. Resolves with the menu. */
  async choose(text: string): Promise<string[]> {
    writeFileSync(join(this.directory, 'choice'), `${text}\n`);
    const file = join(this.directory, 'menu');
    rmSync(file, { force: true });
    await this.#call(DUNST, 'ContextMenuCall', '', []);
    const lines = await waitFor('the menu', () => {
      const text = readFileSync(file, 'utf8');
      return text === '' ? undefined : text;
    });
    return lines.trim().split('\n');
  }

  /** Closes the last notification, as a click on it would. */
  async dismiss(): Promise<void> {
    await this.#call(DUNST, 'NotificationCloseLast', '', []);
  }

  async stop(): Promise<void> {
    this.bus.disconnect();
    await this.dunst.stop();
  }

  async #call(interfaceName: string, member: string, signature: string, body: unknown[]): Promise<unknown[]> {
    const call = { destination: NAME, path: PATH, interface: interfaceName, member, signature, body };
    const reply = await within(`dunst, ${member}`, START_MS, this.bus.call(new Message(call)));
    return Array.from(reply?.body ?? [], (value): unknown => value);
  }
}
