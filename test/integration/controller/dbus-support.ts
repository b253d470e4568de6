// SPDX-License-Identifier: LGPL-2.1-or-later
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BusConnection, type BusEvents } from '../../../controller/adapters/dbus/bus-connection.js';
import { DbusService, type AccessRules } from '../../../controller/adapters/dbus/dbus-service.js';
import { SystemClock } from '../../../controller/adapters/system/system-clock.js';
import { aGuest, aStream, FakeApi } from '../../lib/fake-api.js';
import { FakeLog } from '../../lib/fake-ports.js';
import { OwnedProcess, runCommand } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';

export const NAME = 'org.xenproject.Audio1';
export const ROOT = '/org/xenproject/Audio1';
export const PROPERTIES = 'org.freedesktop.DBus.Properties';
export const MANAGER = `${NAME}.Manager1`;
export const GUEST = `${NAME}.Guest1`;
export const STREAM = `${NAME}.Stream1`;

/** The guest that the bench begins with. */
export const FIRST = aGuest(1, { streams: [aStream()] });
export const FIRST_PATH = `${ROOT}/guest/${FIRST.id}`;
export const STREAM_PATH = `${FIRST_PATH}/s0_0_0`;

/** Somebody who is not root: `nobody`; the user who runs the tests when that is not root. */
export const STRANGER_UID = process.geteuid?.() === 0 ? 65_534 : (process.geteuid?.() ?? 0);
export const BECOME_STRANGER: readonly string[] =
  process.geteuid?.() === 0
    ? ['setpriv', `--reuid=${STRANGER_UID}`, `--regid=${STRANGER_UID}`, '--clear-groups', '--']
    : [];

/** Everybody may do everything. */
export const EVERYTHING = `
  <policy context="default">
    <allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
  <limit name="max_replies_per_connection">100000</limit>`;

/** A message bus of a test's own, which all users can reach. */
export class TestBus {
  readonly directory = mkdtempSync(join(tmpdir(), 'xen-audio-bus-'));
  readonly socket = join(this.directory, 'bus');
  readonly address = `unix:path=${this.socket}`;
  #process: OwnedProcess | undefined;

  async start(policy = EVERYTHING): Promise<void> {
    chmodSync(this.directory, 0o755);
    rmSync(this.socket, { force: true });
    const config = join(this.directory, 'bus.conf');
    writeFileSync(
      config,
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>${this.address}</listen><auth>EXTERNAL</auth>${policy}</busconfig>`,
    );
    const bus = OwnedProcess.start('dbus-daemon', 'dbus-daemon', [`--config-file=${config}`, '--nofork'], {
      logFile: join(this.directory, 'log'),
    });
    this.#process = bus;
    await waitFor('dbus-daemon to listen', () => existsSync(this.socket), { detail: () => bus.logTail() });
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal);
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    rmSync(this.directory, { recursive: true });
  }
}

/** How a call ended: `value` as busctl's JSON, or the error's name and message. */
export interface Outcome {
  readonly value?: unknown;
  readonly error?: string;
  readonly message?: string;
}

/** The service over a fake API, on a bus of its own, and desktop tools to call it. */
export class DbusBench {
  readonly bus = new TestBus();
  readonly api = new FakeApi();
  readonly log = new FakeLog();
  readonly service: DbusService;
  readonly #monitors: OwnedProcess[] = [];

  constructor(access: Partial<AccessRules> = {}) {
    this.api.guestStates = [FIRST];
    this.service = new DbusService({
      ...{ bus: this.bus.address, api: this.api, log: this.log, clock: new SystemClock() },
      // Root may do everything; so that others can run the tests as well, their user is the daemon's own.
      access: { ownUid: process.geteuid?.(), polkit: false, ...access },
    });
  }

  async start(): Promise<void> {
    await this.bus.start();
    await this.service.start();
    await this.owned();
  }

  async stop(): Promise<void> {
    for (const monitor of this.#monitors) await monitor.stop();
    await this.service.stop();
    await this.bus.stop();
  }

  /** Waits until the name is on the bus as often as said. */
  async owned(times = 1): Promise<void> {
    await waitFor('the name', () => this.log.matching(/is on the bus/).length >= times, {
      detail: () => this.log.lines.join('\n'),
    });
  }

  /** Calls with busctl, as root or whoever runs the tests; fails the test when the call fails. */
  async call(path: string, method: string, ...values: readonly string[]): Promise<unknown> {
    const [member, owner] = splitLast(method);
    const result = await runCommand('busctl', [
      ...[`--address=${this.bus.address}`, '--json=short', '--no-pager', 'call'],
      ...['--', NAME, path, owner, member, ...values],
    ]);
    if (result.code !== 0) throw new Error(`${method}: ${result.stderr}`);
    return result.stdout.trim() === '' ? undefined : (JSON.parse(result.stdout) as { data: unknown }).data;
  }

  /** Calls with gdbus; arguments are GVariant texts. Returns what it printed, or the error. */
  async gdbus(
    path: string,
    method: string,
    values: readonly string[],
    as: readonly string[] = [],
  ): Promise<Outcome> {
    const result = await run([
      ...as,
      ...['gdbus', 'call', '--address', this.bus.address, '--dest', NAME],
      ...['--object-path', path, '--method', method, '--', ...values],
    ]);
    if (result.code === 0) return { value: result.stdout.trim() };
    const found = /GDBus\.Error:([\w.]+): ([\s\S]*)/.exec(result.stderr);
    if (found === null) throw new Error(`gdbus: ${result.stderr}`);
    return { error: found[1] ?? '', message: found[2] ?? '' };
  }

  /** Calls as somebody who is neither root nor the daemon. */
  asStranger(path: string, method: string, ...values: readonly string[]): Promise<Outcome> {
    return this.gdbus(path, method, values, BECOME_STRANGER);
  }

  /** A connection to the bus that stays, to call from. */
  client(events: Partial<BusEvents> = {}): Promise<BusConnection> {
    const nothing = (): void => undefined;
    return BusConnection.open(this.bus.address, {
      call: nothing,
      busSignal: nothing,
      signal: nothing,
      lost: nothing,
      ...events,
    });
  }

  /** The error's name of a call that must fail, without the part that all have. */
  async refusal(path: string, method: string, ...values: readonly string[]): Promise<string> {
    return short(await this.gdbus(path, method, values));
  }

  /** Collects signals with gdbus; returns the lines so far. */
  async monitor(): Promise<() => string[]> {
    const outputFile = join(this.bus.directory, `signals-${this.#monitors.length}`);
    const args = ['monitor', '--address', this.bus.address, '--dest', NAME];
    this.#monitors.push(OwnedProcess.start('gdbus monitor', 'gdbus', args, { outputFile }));
    await waitFor('gdbus to listen', () => readFileSync(outputFile, 'utf8').includes(' is owned by '));
    return () =>
      readFileSync(outputFile, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('/'));
  }
}

/** Runs a command line. */
export const run = ([program, ...args]: readonly string[]): ReturnType<typeof runCommand> =>
  runCommand(program ?? '', args);

/** `InvalidArgs`, `Error.OutOfRange`. */
export const short = ({ error, value }: Outcome): string =>
  error?.replace('org.freedesktop.DBus.Error.', '').replace(`${NAME}.`, '') ??
  `no error but ${String(value)}`;

const splitLast = (method: string): [string, string] => {
  const at = method.lastIndexOf('.');
  return [method.slice(at + 1), method.slice(0, at)];
};
