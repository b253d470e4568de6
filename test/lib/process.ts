// SPDX-License-Identifier: LGPL-2.1-or-later
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';

import { WaitTimeout, within } from './wait.js';

/** How a process ended: an exit code, or the signal that ended it. */
export interface ProcessEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ProcessOptions {
  /** The whole environment; default: ours. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** File that receives stderr, and stdout unless that goes elsewhere; appended to. Default: both are dropped. */
  logFile?: string;
  /** File that receives stdout, made anew. */
  outputFile?: string;
  /** Streams to keep for the caller; the rest goes to the log. */
  pipe?: { stdin?: boolean; stdout?: boolean };
  /**
   * How signals get to the program: from us (the default), or as lines (`TERM`) of the standard input of what we start,
   * which stands for a program elsewhere.
   */
  signals?: 'kill' | 'stdin';
}

/**
 * A child process with one owner, who ends it. The kernel kills it when this process ends, however it ends, so that no
 * broken test leaves one behind.
 */
export class OwnedProcess {
  /** Resolves when the process has ended, or could not be started (`code` 127). */
  readonly ended: Promise<ProcessEnd>;
  private end: ProcessEnd | undefined;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    private readonly logFile: string | undefined,
    private readonly signals: 'kill' | 'stdin',
  ) {
    child.stdin?.on('error', () => undefined); // it ended before it read all; that shows in `ended`
    this.ended = new Promise((resolve) => {
      const settle = (end: ProcessEnd): void => {
        this.end ??= end;
        resolve(this.end);
      };
      child.once('error', () => {
        settle({ code: 127, signal: null });
      });
      child.once('exit', (code, signal) => {
        settle({ code, signal });
      });
    });
  }

  /** Starts a program; that it cannot be started shows in `ended`. */
  static start(
    name: string,
    command: string,
    args: readonly string[],
    options: ProcessOptions = {},
  ): OwnedProcess {
    const { env, cwd, logFile, outputFile, pipe, signals = 'kill' } = options;
    const log = logFile === undefined ? 'ignore' : openSync(logFile, 'a');
    const output = outputFile === undefined ? log : openSync(outputFile, 'w');
    const stdio: StdioOptions = [
      pipe?.stdin === true || signals === 'stdin' ? 'pipe' : 'ignore',
      pipe?.stdout === true ? 'pipe' : output,
      log,
    ];
    const mortal = ['--pdeathsig', 'KILL', '--', command, ...args];
    try {
      const child = spawn('setpriv', mortal, { env: env ?? process.env, cwd, stdio });
      return new OwnedProcess(name, child, logFile, signals);
    } finally {
      for (const file of new Set([log, output])) {
        if (typeof file === 'number') {
          closeSync(file);
        }
      }
    }
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get running(): boolean {
    return this.end === undefined;
  }

  /** The piped standard input. @throws when it was not asked for */
  get stdin(): Writable {
    return present(this.child.stdin, `${this.name}: stdin was not piped`);
  }

  /** The piped standard output. @throws when it was not asked for */
  get stdout(): Readable {
    return present(this.child.stdout, `${this.name}: stdout was not piped`);
  }

  signal(signal: NodeJS.Signals): void {
    if (this.signals === 'stdin') {
      this.stdin.write(`${signal.replace('SIG', '')}\n`);
    } else {
      this.child.kill(signal);
    }
  }

  /** Asks the process to end, and kills it when it has not at the limit. Harmless when it is gone already. */
  async stop(options: { signal?: NodeJS.Signals; timeoutMs?: number } = {}): Promise<ProcessEnd> {
    const { signal = 'SIGTERM', timeoutMs = 5000 } = options;
    if (this.running) {
      this.signal(signal);
    }
    try {
      return await within(`${this.name} to end`, timeoutMs, this.ended);
    } catch (error) {
      if (!(error instanceof WaitTimeout)) {
        throw error;
      }
      return this.kill();
    }
  }

  /** Ends the process at once, as a crash would. */
  async kill(): Promise<ProcessEnd> {
    if (this.running) {
      this.signal('SIGKILL');
    }
    return within(`${this.name} to be killed`, 5000, this.ended);
  }

  /** Resolves when the process has ended with code 0. @throws Error with the end of its log otherwise */
  async succeeded(timeoutMs: number): Promise<void> {
    const end = await within(`${this.name} to finish`, timeoutMs, this.ended);
    if (end.code !== 0) {
      throw new Error(`${this.name} ended with ${describeEnd(end)}\n${this.logTail()}`);
    }
  }

  /** The last lines of the log, for an error message. */
  logTail(lines = 15): string {
    return this.logFile === undefined ? '' : tailOf(this.logFile, lines);
  }
}

/** `exit code 1`, `signal SIGKILL`. */
export function describeEnd(end: ProcessEnd): string {
  return end.signal === null ? `exit code ${String(end.code)}` : `signal ${end.signal}`;
}

/** The last lines of a file with its name above; '' when there is none. */
export function tailOf(file: string, lines = 15): string {
  try {
    const text = readFileSync(file, 'utf8').trimEnd();
    return text === '' ? '' : `the end of ${file}:\n${text.split('\n').slice(-lines).join('\n')}`;
  } catch {
    return '';
  }
}

export interface CommandResult extends ProcessEnd {
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end and keeps what it printed; the caller judges the exit code.
 *
 * @throws WaitTimeout when it runs longer than `timeoutMs` (default 10 s); it is killed then
 */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<CommandResult> {
  const { env = process.env, timeoutMs = 10_000 } = options;
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const ended = new Promise<ProcessEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({ code, signal });
    });
  });
  try {
    const end = await within(`${command} ${args.join(' ')}`, timeoutMs, ended);
    return { ...end, ...output };
  } finally {
    child.kill('SIGKILL');
  }
}

function present<T>(value: T | null, message: string): T {
  if (value === null) {
    throw new Error(message);
  }
  return value;
}
