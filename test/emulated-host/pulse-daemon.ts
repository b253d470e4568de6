// SPDX-License-Identifier: LGPL-2.1-or-later
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { OwnedProcess, runCommand, tailOf, type ProcessEnd } from '../lib/process.js';
import { PulseClient } from '../lib/pulse.js';
import { waitFor } from '../lib/wait.js';

export interface PulseDaemonOptions {
  name: string;
  /** Its own folder; made when it is missing, and kept from one start to the next. */
  dir: string;
  /** Where our modules are; searched before PulseAudio's own. */
  moduleDir: string;
  /** What ties it to its domain: XENSTORED_PATH, LD_LIBRARY_PATH, D-Bus addresses. Asked at each start. */
  env: () => NodeJS.ProcessEnv;
  /** Modules with arguments, loaded at the start, after the native protocol. */
  modules: readonly string[];
}

/** A PulseAudio of our own: it reads and writes nothing of the user's. */
export class PulseDaemon {
  readonly server: string;
  readonly client: PulseClient;
  readonly logFile: string;
  private readonly socket: string;
  private process: OwnedProcess | undefined;

  constructor(private readonly options: PulseDaemonOptions) {
    const { dir } = options;
    this.socket = join(dir, 'native');
    this.server = `unix:${this.socket}`;
    this.client = new PulseClient(this.server, join(dir, 'cookie'));
    this.logFile = join(dir, 'pulseaudio.log');
  }

  get pid(): number | undefined {
    return this.process?.pid;
  }

  get running(): boolean {
    return this.process?.running ?? false;
  }

  /** Starts it, and resolves when it answers. @throws Error with the end of its log when it does not in 20 s */
  async start(): Promise<void> {
    if (this.running) {
      throw new Error(`${this.options.name} is running already`);
    }
    const { name, dir } = this.options;
    for (const folder of ['run', 'state', 'config']) {
      mkdirSync(join(dir, folder), { recursive: true, mode: 0o700 });
    }
    const started = OwnedProcess.start(name, 'pulseaudio', await this.arguments(), {
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
    const { moduleDir, modules } = this.options;
    const realtime = mayUseRealtime() ? 'yes' : 'no';
    const protocol = `module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket=${this.socket}`;
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
      `--dl-search-path=${moduleDir}:${await systemModuleDir()}`,
      ...[protocol, ...modules].map((module) => `--load=${module}`),
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
      PULSE_RUNTIME_PATH: join(dir, 'run'),
      PULSE_STATE_PATH: join(dir, 'state'),
      PULSE_COOKIE: join(dir, 'cookie'),
      ...env(),
    };
  }
}

/** Whether a thread of ours may have realtime priority; asked once. */
const mayUseRealtime = once(() => spawnSync('chrt', ['-r', '5', 'true'], { stdio: 'ignore' }).status === 0);

/** Where the installed PulseAudio keeps its modules; it differs from release to release. */
const systemModuleDir = once(async () => {
  const { code, stdout } = await runCommand('pkg-config', ['--variable=modlibexecdir', 'libpulse']);
  if (code !== 0 || stdout.trim() === '') {
    throw new Error('pkg-config does not know libpulse: run scripts/setup');
  }
  return stdout.trim();
});

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
