// SPDX-License-Identifier: LGPL-2.1-or-later
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { tailOf, type OwnedProcess, type ProcessEnd } from '../lib/process.js';
import { PulseClient } from '../lib/pulse.js';
import { waitFor } from '../lib/wait.js';
import { mayUseRealtime, type Machine } from './machine.js';

export interface PulseDaemonOptions {
  name: string;
  machine: Machine;
  /** Its own folder, there and here (for the log); made when it is missing, and kept from one start to the next. */
  dir: string;
  /** Where our modules are; searched before PulseAudio's own. */
  moduleDir: string;
  /** What ties it to its domain: XENSTORED_PATH, LD_LIBRARY_PATH, D-Bus addresses. Asked at each start. */
  env: () => NodeJS.ProcessEnv;
  /** Modules with arguments, loaded at the start, after the native protocol. */
  modules: readonly string[];
}

/** As packaging/pulse/xen-audio.conf has it. */
const SETTINGS = 'rlimit-nofile = 16384\n';
/** PulseAudio's own; for programs that speak to servers of two machines. */
const TCP_PORT = 4713;

/** A PulseAudio of our own: it reads and writes nothing of the user's. */
export class PulseDaemon {
  /** Lines of its daemon.conf, from the next start on. */
  settings = SETTINGS;
  readonly server: string;
  readonly client: PulseClient;
  readonly logFile: string;
  private readonly socket: string;
  private process: OwnedProcess | undefined;

  constructor(private readonly options: PulseDaemonOptions) {
    const { dir } = options;
    this.socket = join(dir, 'native');
    this.server = `unix:${this.socket}`;
    const { hostName } = options.machine;
    const fromHere = hostName === undefined ? this.server : `tcp:${hostName}:${TCP_PORT}`;
    this.client = new PulseClient(options.machine, this.server, join(dir, 'cookie'), fromHere);
    this.logFile = join(dir, 'pulseaudio.log');
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** Lets it stand still until `thaw`, as in a guest that is suspended. */
  freeze(): void {
    if (this.pid !== undefined) process.kill(this.pid, 'SIGSTOP');
  }

  thaw(): void {
    if (this.pid !== undefined) process.kill(this.pid, 'SIGCONT');
  }

  get running(): boolean {
    return this.process?.running ?? false;
  }

  /** Starts it, and resolves when it answers. @throws Error with the end of its log when it does not in 20 s */
  async start(): Promise<void> {
    if (this.running) {
      throw new Error(`${this.options.name} is running already`);
    }
    const { name, dir, machine } = this.options;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const folder of ['run', 'state', 'config']) {
      await machine.makeFolder(join(dir, folder));
    }
    await machine.write(join(dir, 'config', 'daemon.conf'), this.settings);
    const started = machine.start(name, 'pulseaudio', await this.arguments(), {
      env: this.environment(),
      cwd: dir,
      logFile: this.logFile,
    });
    this.process = started;
    const answers = async (): Promise<boolean> => {
      if (!started.running) {
        return true;
      }
      await this.client.pactl('info');
      return true;
    };
    await waitFor(`${name} to answer`, answers, { timeoutMs: 20_000, detail: () => started.logTail() });
    if (!started.running) {
      throw new Error(`${name} ended at its start\n${started.logTail()}`);
    }
    await this.checkModules();
  }

  /** PulseAudio goes on without a module that it could not load. */
  private async checkModules(): Promise<void> {
    const loaded = new Set(
      (await this.client.list('modules')).map((m) => `${m.name} ${m.argument}`.trimEnd()),
    );
    const missing = this.options.modules.filter((module) => !loaded.has(module));
    if (missing.length > 0) {
      throw new Error(`${this.options.name} did not load: ${missing.join(', ')}\n${tailOf(this.logFile)}`);
    }
  }

  /** Ends it in order: modules are unloaded. Harmless when it does not run. */
  async stop(): Promise<ProcessEnd | undefined> {
    return this.process?.stop({ timeoutMs: 10_000 });
  }

  /** Ends it as a crash would. */
  async kill(): Promise<ProcessEnd | undefined> {
    return this.process?.kill();
  }

  private async arguments(): Promise<string[]> {
    const { machine, moduleDir, modules } = this.options;
    const realtime = (await mayUseRealtime(machine)) ? 'yes' : 'no';
    const searched = [await machine.provide(moduleDir), await systemModuleDir(machine)];
    const open = 'auth-anonymous=1 auth-cookie-enabled=0';
    const protocols = [
      `module-native-protocol-unix ${open} socket=${this.socket}`,
      ...(machine.hostName === undefined ? [] : [`module-native-protocol-tcp ${open} port=${TCP_PORT}`]),
    ];
    return [
      '-n',
      '--daemonize=no',
      '--exit-idle-time=-1',
      '--use-pid-file=no',
      '--disable-shm=yes',
      `--realtime=${realtime}`,
      `--high-priority=${realtime}`,
      '--log-target=stderr',
      '--log-level=info',
      '--log-time=yes',
      `--dl-search-path=${searched.join(':')}`,
      ...[...protocols, ...modules].map((module) => `--load=${module}`),
    ];
  }

  private environment(): NodeJS.ProcessEnv {
    const { dir, env } = this.options;
    return {
      PATH: process.env['PATH'],
      LC_ALL: 'C.UTF-8',
      HOME: dir,
      XDG_RUNTIME_DIR: join(dir, 'run'),
      XDG_CONFIG_HOME: join(dir, 'config'),
      PULSE_CONFIG: join(dir, 'config', 'daemon.conf'),
      PULSE_RUNTIME_PATH: join(dir, 'run'),
      PULSE_STATE_PATH: join(dir, 'state'),
      PULSE_COOKIE: join(dir, 'cookie'),
      ...env(),
    };
  }
}

/** Where the installed PulseAudio keeps its modules; it differs from release to release. */
async function systemModuleDir(machine: Machine): Promise<string> {
  const { stdout } = await machine.run('pulseaudio', ['--dump-conf']);
  const found = /^dl-search-path = (.+)$/m.exec(stdout)?.[1];
  if (found === undefined) {
    throw new Error(`pulseaudio --dump-conf says nothing of dl-search-path: ${stdout}`);
  }
  return found;
}
