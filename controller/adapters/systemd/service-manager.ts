// SPDX-License-Identifier: LGPL-2.1-or-later
import { UnixDatagram } from '../system/unix-datagram.js';

/** systemd, as sd_notify(3) and sd_watchdog_enabled(3) describe it. Without it nothing is said, and nothing wakes up. */
export class ServiceManager {
  readonly #socket: UnixDatagram | undefined;
  readonly #watchdogMs: number | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #status = '';
  #stopping = false;

  /** @throws Error when NOTIFY_SOCKET names no socket */
  constructor(
    env: NodeJS.ProcessEnv = process.env,
    private readonly nowUsec: () => bigint = () => process.hrtime.bigint() / 1000n,
  ) {
    const path = env['NOTIFY_SOCKET'] ?? '';
    this.#socket = path === '' ? undefined : new UnixDatagram(path);
    this.#watchdogMs = this.#socket === undefined ? undefined : watchdogMs(env);
  }

  /** The daemon has started. From now on systemd may rely on signs of life. */
  ready(): void {
    if (this.#stopping) return;
    this.#notify('READY=1');
    if (this.#watchdogMs === undefined || this.#watchdog !== undefined) return;
    const ping = (): void => {
      this.#notify('WATCHDOG=1');
    };
    ping();
    this.#watchdog = setInterval(ping, this.#watchdogMs / 2).unref();
  }

  /** Settings are being read again; `ready` ends it. */
  reloading(): void {
    this.#notify(`RELOADING=1\nMONOTONIC_USEC=${this.nowUsec()}`);
  }

  stopping(): void {
    this.#stopping = true;
    this.#notify('STOPPING=1');
  }

  /** A line for `systemctl status`; made when systemd is there, sent when it is another than before. */
  status(describe: () => string): void {
    if (this.#socket === undefined) return;
    const text = describe();
    if (text === this.#status) return;
    this.#status = text;
    this.#notify(`STATUS=${text}`);
  }

  #notify(state: string): void {
    this.#socket?.send(Buffer.from(state, 'utf8'), true);
  }
}

/** The watchdog's interval, when it is meant for this process. */
const watchdogMs = (env: NodeJS.ProcessEnv): number | undefined => {
  const usec = Number(env['WATCHDOG_USEC']);
  const pid = env['WATCHDOG_PID'];
  if (!(usec > 0) || (pid !== undefined && pid !== String(process.pid))) return undefined;
  return usec / 1000;
};
