// SPDX-License-Identifier: LGPL-2.1-or-later
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import {
  describeEnd,
  OwnedProcess,
  runCommand,
  type CommandResult,
  type ProcessEnd,
  type ProcessOptions,
} from '../../lib/process.js';
import { within } from '../../lib/wait.js';
import type { Machine } from '../machine.js';

const COPY_TIMEOUT_MS = 60_000;
const ERROR_TAIL_CHARACTERS = 500;

/** A guest with the programs of the lab's image, reached by ssh as root. */
export class SshMachine implements Machine {
  private readonly provided = new Map<string, Promise<string>>();

  constructor(readonly hostName: string) {}

  /** `lab-exec` there takes signals over standard input, and ends the program when that is closed. */
  start(name: string, command: string, args: readonly string[], options: ProcessOptions = {}): OwnedProcess {
    const { env, cwd, ...rest } = options;
    const line = `${cwd === undefined ? '' : `cd ${quote(cwd)} && `}exec lab-exec ${lineOf(command, args, env)}`;
    return OwnedProcess.start(name, 'ssh', [this.hostName, line], { ...rest, signals: 'stdin' });
  }

  run(
    command: string,
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
  ): Promise<CommandResult> {
    const { env, ...rest } = options;
    return runCommand('ssh', [this.hostName, lineOf(command, args, env)], rest);
  }

  async makeFolder(path: string): Promise<void> {
    await this.must(`mkdir -p -m 700 ${quote(path)}`);
  }

  async write(path: string, data: Buffer | string): Promise<void> {
    const octets = typeof data === 'string' ? Buffer.from(data) : data;
    await this.must(`cat >${quote(path)}`, Readable.from([octets]));
  }

  /** Removes a folder with all in it; harmless when there is none. */
  async removeFolder(path: string): Promise<void> {
    await this.must(`rm -rf ${quote(path)}`);
  }

  provide(path: string): Promise<string> {
    const known = this.provided.get(path) ?? this.bring(path);
    this.provided.set(path, known);
    return known;
  }

  /** Brings a program, or the shared libraries of a folder, to the same path. */
  private async bring(path: string): Promise<string> {
    const files = statSync(path).isDirectory()
      ? readdirSync(path).flatMap((name) => (name.endsWith('.so') ? [join(path, name)] : []))
      : [path];
    for (const file of files) {
      if (await this.has(file)) continue;
      const target = quote(file);
      await this.must(
        `mkdir -p ${quote(dirname(file))} && cat >${target} && chmod 755 ${target}`,
        createReadStream(file),
      );
    }
    return path;
  }

  /** Whether the same file is there already, at the same path. */
  private async has(file: string): Promise<boolean> {
    const { stdout } = await this.run('sha256sum', [file]);
    return stdout.split(' ')[0] === createHash('sha256').update(readFileSync(file)).digest('hex');
  }

  /** Runs a shell's line, fed from a stream. @throws Error with what it said when it fails */
  private async must(line: string, input?: Readable): Promise<void> {
    const child = spawn('ssh', [this.hostName, line], {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-ERROR_TAIL_CHARACTERS);
    });
    const ended = new Promise<ProcessEnd>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        resolve({ code, signal });
      });
    });
    try {
      // That it did not take all its input shows in how it ended.
      const fed =
        input === undefined || child.stdin === null
          ? undefined
          : pipeline(input, child.stdin).catch(() => undefined);
      const [end] = await within(`${line} in ${this.hostName}`, COPY_TIMEOUT_MS, Promise.all([ended, fed]));
      if (end.code !== 0) {
        throw new Error(`${line} in ${this.hostName} ended with ${describeEnd(end)}: ${said.trim()}`);
      }
    } finally {
      child.kill('SIGKILL');
    }
  }
}

/** A command for a shell; only the variables of `env` that are set. */
function lineOf(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const settings = Object.entries(env).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  return [...(settings.length === 0 ? [] : ['env', ...settings]), command, ...args].map(quote).join(' ');
}

function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
