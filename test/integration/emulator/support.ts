// SPDX-License-Identifier: LGPL-2.1-or-later
/** An emulator with two guests for each test, and processes in them that make the libraries' calls. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { DOM0, Emulator } from '../../emulator/client.js';
import type { DomainCounts } from '../../emulator/domains.js';
import { paths } from '../../lib/paths.js';
import { OwnedProcess } from '../../lib/process.js';
import { waitFor, within } from '../../lib/wait.js';

export const GUEST = { key: 'guest', domid: 5, name: 'alice', uuid: 'a3bb189e-8bf9-3888-9912-ace4e6543002' };
export const OTHER = { key: 'other', domid: 6, name: 'bob', uuid: 'c9a646d3-9c61-4cb7-bfcd-ee2522c8f633' };

const ANSWER_TIMEOUT_MS = 5000;

/** A running emulator, with what a test has started in it. */
export class Playground {
  readonly #processes: OwnedProcess[] = [];

  private constructor(
    readonly emulator: Emulator,
    private readonly parent: string,
  ) {}

  static async create(): Promise<Playground> {
    const tmpfs = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
    const parent = fs.mkdtempSync(path.join(tmpfs, 'xen-audio-'));
    const emulator = await Emulator.start({
      directory: path.join(parent, 'xen'),
      logFile: path.join(parent, 'log'),
    });
    await emulator.createDomain(GUEST);
    await emulator.createDomain(OTHER);
    return new Playground(emulator, parent);
  }

  /** What the emulator has complained of. */
  get log(): string {
    return fs.readFileSync(path.join(this.parent, 'log'), 'utf8');
  }

  /** Starts a program of stand-ins/tests in a domain. */
  start(key: string, program: string, ...args: string[]): OwnedProcess {
    const file = path.join(paths.standInsDir, 'tests', program);
    const child = OwnedProcess.start(`${program} in ${key}`, file, args, {
      env: this.emulator.environment(key),
      pipe: { stdin: true, stdout: true },
      logFile: path.join(this.parent, 'log'),
    });
    this.#processes.push(child);
    return child;
  }

  /** A process in a domain that makes the calls it is told to; these handles are open: shr, tab, evt. */
  async probe(key: string, ...handles: ('shr' | 'tab' | 'evt')[]): Promise<Probe> {
    const probe = new Probe(this.start(key, 'probe'));
    for (const handle of handles) await probe.call(`open ${handle}`);
    return probe;
  }

  async countsOf(key: string): Promise<DomainCounts> {
    const counts = (await this.emulator.counts()).domains[key];
    if (counts === undefined) throw new Error(`the emulator has no domain ${key}`);
    return counts;
  }

  /** Waits until no domain holds anything of the hypervisor's. */
  async nothingLeft(): Promise<void> {
    let last = '';
    const look = async (): Promise<boolean> => {
      const { domains } = await this.emulator.counts();
      last = JSON.stringify(domains);
      return Object.values(domains).every(({ ports, grants, mapped }) => ports + grants + mapped === 0);
    };
    await waitFor('all ports, grants and mappings to be gone', look, { timeoutMs: 5000, detail: () => last });
  }

  async end(): Promise<void> {
    for (const child of this.#processes) await child.kill();
    await this.emulator.stop();
    fs.rmSync(this.parent, { recursive: true });
  }
}

/** The process `probe`: one call, one answer. */
export class Probe {
  readonly #answers: AsyncIterator<string>;

  constructor(readonly process: OwnedProcess) {
    this.#answers = readline.createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  /** Makes a call that must succeed; resolves to the numbers it yields. */
  async call(line: string): Promise<number[]> {
    const [verdict, ...words] = (await this.#ask(line)).split(' ');
    if (verdict !== 'ok') throw new Error(`'${line}' in ${this.process.name}: ${words.join(' ')}`);
    return words.map(Number);
  }

  /** As call, for calls that yield one number. */
  async number(line: string): Promise<number> {
    const [result] = await this.call(line);
    if (result === undefined) throw new Error(`'${line}' in ${this.process.name} yields no number`);
    return result;
  }

  /** Makes a call that must fail; resolves to the name of its errno. */
  async error(line: string): Promise<string> {
    const answer = await this.#ask(line);
    if (!answer.startsWith('error ')) throw new Error(`'${line}' should have failed: ${answer}`);
    return answer.slice('error '.length);
  }

  /** Shares pages with a domain. */
  async share(
    domid: number,
    count: number,
    access: 'rw' | 'ro',
  ): Promise<{ region: number; refs: number[] }> {
    const [region, ...refs] = await this.call(`share ${domid} ${count} ${access}`);
    return { region: region ?? -1, refs };
  }

  async #ask(line: string): Promise<string> {
    this.process.stdin.write(`${line}\n`);
    const answer = await within(
      `${this.process.name} to answer '${line}'`,
      ANSWER_TIMEOUT_MS,
      this.#answers.next(),
    );
    if (answer.done === true) throw new Error(`${this.process.name} has ended at '${line}'`);
    return answer.value;
  }
}

export { DOM0 };
