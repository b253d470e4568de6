// SPDX-License-Identifier: LGPL-2.1-or-later
import { basename } from 'node:path';
import { Policy } from '../../../schemas/policy.js';
import type { ClockPort, LogPort } from '../../device/ports.js';
import type { PlacedPolicy } from '../../policy/evaluate.js';
import { hasCode, messageOf } from '../../util/errors.js';
import { SerialQueue } from '../../util/queue.js';
import { watchFile } from './watch-file.js';
import { parseYaml, readTextFile } from './yaml-file.js';

/** Checks a policy's text, and notes where its rules stand; `file` is its name in messages. Throws as `parseYaml`. */
export const parsePolicy = (file: string, text: string): PlacedPolicy => {
  const { value, lineOf } = parseYaml(Policy, file, text);
  const rules = value.rules.map((rule, index) => ({
    ...rule,
    place: `${basename(file)}:${lineOf(['rules', index])}`,
  }));
  return { ...value, rules };
};

/**
 * Reads a policy; where there is no file, what is built in holds.
 * @throws XenAudioError `config`
 */
export const readPolicy = async (path: string): Promise<PlacedPolicy> =>
  parsePolicy(path, (await readTextFile(path)) ?? '');

const TOPIC = 'policy';

/** The policy in force: that of the file as it last made sense. */
export class PolicyFile {
  readonly #queue = new SerialQueue();
  #policy: PlacedPolicy = Policy.parse({});
  #text = '';
  #error = '';
  /** Whether everybody has been told of the policy in force. */
  #told = true;
  #unwatch: (() => void) | undefined;

  constructor(
    private readonly path: string,
    private readonly clock: ClockPort,
    private readonly log: LogPort,
    /** Another policy is in force, or the file is refused now, or no longer. */
    private readonly onChange: () => Promise<void>,
  ) {}

  get policy(): PlacedPolicy {
    return this.#policy;
  }

  /** Why the file was refused when it was last read; empty when it is in force. */
  get error(): string {
    return this.#error;
  }

  /** Begins to watch it, and reads it. @throws XenAudioError `config` when it makes no sense: there is nothing to fall back on */
  async start(): Promise<void> {
    this.#watch(); // first, so that no change falls in between
    await this.#queue.run(async () => this.#take(await readPolicy(this.path)));
  }

  stop(): Promise<void> {
    this.#unwatch?.();
    return this.#queue.idle();
  }

  /** Reads it again. @throws XenAudioError `config`: what was in force stays. What `onChange` throws: the next call tells again */
  reload(): Promise<void> {
    this.#watch();
    return this.#read();
  }

  #read(): Promise<void> {
    return this.#queue.run(async () => {
      let policy: PlacedPolicy;
      try {
        policy = await readPolicy(this.path);
      } catch (error) {
        await this.#refuse(messageOf(error));
        throw error;
      }
      if (!this.#take(policy) && this.#error === '' && this.#told) return;
      this.#error = '';
      this.#told = false;
      this.log.info(TOPIC, `${this.path}: in force`);
      await this.onChange();
      this.#told = true;
    });
  }

  async #refuse(why: string): Promise<void> {
    if (this.#error === why) return;
    this.#error = why;
    for (const line of why.split('\n')) this.log.error(TOPIC, `policy left as it was: ${line}`);
    await this.onChange();
  }

  /** Returns whether it is another than before. */
  #take(policy: PlacedPolicy): boolean {
    const text = JSON.stringify(policy);
    if (text === this.#text) return false;
    this.#text = text;
    this.#policy = policy;
    return true;
  }

  #watch(): void {
    if (this.#unwatch !== undefined) return;
    const changed = (): void => {
      this.#read().catch((error: unknown) => {
        if (hasCode(error, 'config')) return; // it has been said
        this.log.error(TOPIC, `the policy has not reached every stream, reload it: ${messageOf(error)}`);
      });
    };
    const lost = (why: string): void => {
      this.#unwatch = undefined;
      this.log.warning(TOPIC, `${this.path}: a change is not noticed until it is reloaded by hand: ${why}`);
    };
    try {
      this.#unwatch = watchFile(this.path, this.clock, changed, lost);
    } catch (error) {
      lost(messageOf(error));
    }
  }
}
