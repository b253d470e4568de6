// SPDX-License-Identifier: LGPL-2.1-or-later
import { readlinkSync } from 'node:fs';
import { OwnedProcess, runCommand, type ProcessEnd } from './process.js';
import { waitFor } from './wait.js';

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** A program in a terminal of its own, by script(1). */
export class PseudoTerminal {
  /** All that the program has written. */
  output = '';

  private constructor(private readonly script: OwnedProcess) {
    script.stdout.setEncoding('utf8').on('data', (text: string) => (this.output += text));
  }

  /** @param size columns and rows */
  static start(
    command: readonly string[],
    size: readonly [number, number],
    env: NodeJS.ProcessEnv,
  ): PseudoTerminal {
    // The program does not outlive script, whose end alone would be a hang-up, which it may take its time over.
    const mortal = ['setpriv', '--pdeathsig', 'KILL', '--', ...command];
    const shell = `stty cols ${size[0]} rows ${size[1]}; exec ${mortal.map(quoted).join(' ')}`;
    return new PseudoTerminal(
      OwnedProcess.start('script', 'script', ['--quiet', '--return', '--command', shell, '/dev/null'], {
        env,
        pipe: { stdin: true, stdout: true },
      }),
    );
  }

  get running(): boolean {
    return this.script.running;
  }

  /** The last picture that was drawn from the upper left corner, without colours. */
  get picture(): string {
    const [picture = ''] = this.output.split('\x1b[H').slice(-1);
    // eslint-disable-next-line no-control-regex -- that is what a terminal is told with
    return picture.replace(/\x1b\[[?\d]*[A-Za-z]/g, '').replaceAll('\r', '');
  }

  type(keys: string): void {
    this.script.stdin.write(keys);
  }

  async resize(columns: number, rows: number): Promise<void> {
    const terminal = readlinkSync(`/proc/${await this.programPid()}/fd/1`);
    const { code, stderr } = await runCommand('stty', [
      '-F',
      terminal,
      'cols',
      String(columns),
      'rows',
      String(rows),
    ]);
    if (code !== 0) throw new Error(`stty: ${stderr}`);
  }

  /** Process id of the program. */
  async programPid(): Promise<number> {
    return waitFor('the program in the terminal', async () => {
      const { stdout } = await runCommand('ps', ['-o', 'pid=', '--ppid', String(this.script.pid)]);
      return Number(stdout.trim().split('\n')[0]);
    });
  }

  /** How the program ended. */
  get ended(): Promise<ProcessEnd> {
    return this.script.ended;
  }

  async kill(): Promise<void> {
    await this.script.kill();
  }
}
