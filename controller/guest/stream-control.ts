// SPDX-License-Identifier: LGPL-2.1-or-later
import type { ClockPort, LogPort, Watch, XenstorePort } from '../device/ports.js';
import { hasCode, messageOf } from '../util/errors.js';
import { SerialQueue } from '../util/queue.js';
import { RateLimit } from '../util/retry.js';
import { quoted } from '../util/text.js';
import { isReportNode, NOTHING_REPORTED, REPORT_NODES, withNode } from './stream-report.js';
import type { ReportNode, StreamReport } from './stream-report.js';

/** What a stream's control directory needs of the daemon around it. */
export interface StreamControlContext {
  readonly xenstore: XenstorePort;
  readonly clock: ClockPort;
  readonly log: LogPort;
}

const TOPIC = 'stream';
/** A guest starts and stops as often as it likes; we look at what comes of it this often. */
const LOOKS_BURST = 20;
const LOOKS_PER_SECOND = 12;
/** After a look that failed. */
const RETRY_MS = 1_000;

/** The control directory of one stream: tells its module what shall be, and hears what is. */
export class StreamControl {
  readonly #queue = new SerialQueue();
  readonly #looks = new RateLimit(LOOKS_BURST, LOOKS_PER_SECOND);
  readonly #told = new Map<string, string>();
  readonly #unread = new Set<ReportNode>();
  #allUnread = false;
  #report: StreamReport = NOTHING_REPORTED;
  #watch: Watch | undefined;
  #lookAsked = false;
  #lookFailed = false;
  #ended = false;
  readonly #complained = new Set<ReportNode>();
  #cancelTimer: () => void = () => undefined;

  constructor(
    private readonly context: StreamControlContext,
    /** Path of the directory. */
    readonly path: string,
    /** For messages. */
    readonly label: string,
    /** Called when the report may have changed. */
    private readonly onReport: (before: StreamReport) => void,
  ) {}

  /** What the module says, as last heard. */
  get report(): StreamReport {
    return this.#report;
  }

  /**
   * Reads what stands in the directory already, without telling anybody: that of an adopted stream.
   * @param standing nodes that a controller before us may have written, which are not written again
   * @returns those that are there
   */
  async adopt<N extends string>(standing: readonly N[]): Promise<Partial<Record<N, string>>> {
    return await this.#queue.run(async () => {
      const there = await this.#readAll();
      const found: Partial<Record<N, string>> = {};
      for (const node of standing.filter((name) => there.has(name))) {
        const value = await this.context.xenstore.read(`${this.path}/${node}`);
        if (value === undefined) continue;
        this.#told.set(node, value);
        found[node] = value;
      }
      return found;
    });
  }

  /** Writes what is other than what was written last. */
  tell(nodes: Readonly<Record<string, string>>): Promise<void> {
    return this.#queue.run(async () => {
      for (const [node, value] of Object.entries(nodes)) {
        if (this.#ended || this.#told.get(node) === value) continue;
        await this.context.xenstore.write(`${this.path}/${node}`, value);
        this.#told.set(node, value);
      }
    });
  }

  /** Begins to listen. To be ended also when this fails. */
  async listen(): Promise<void> {
    this.#watch = await this.context.xenstore.watch(this.path, (path) => {
      this.#noted(path.slice(this.path.length + 1));
    });
  }

  /** Nothing is written afterwards, and nobody called. To be called again when this fails. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#cancelTimer();
    await this.#watch?.remove();
    this.#watch = undefined;
    await this.#queue.idle();
  }

  #noted(node: string): void {
    if (node === '') this.#allUnread = true;
    else if (isReportNode(node)) this.#unread.add(node);
    else return; // our own
    this.#askForLook();
  }

  #askForLook(): void {
    if (this.#ended || this.#lookAsked) return;
    this.#lookAsked = true;
    const waitMs = this.#looks.take(this.context.clock.nowMs());
    if (waitMs === 0) void this.#queue.run(() => this.#look());
    else this.#askLater(waitMs);
  }

  #askLater(waitMs: number): void {
    this.#cancelTimer = this.context.clock.after(waitMs, () => {
      this.#lookAsked = false;
      this.#askForLook();
    });
  }

  async #look(): Promise<void> {
    this.#lookAsked = false; // what changes from now on is another look
    const all = this.#allUnread;
    const nodes = [...this.#unread];
    this.#allUnread = false;
    this.#unread.clear();
    const before = this.#report;
    try {
      await (all ? this.#readAll() : this.#read(nodes));
      this.#lookFailed = false;
    } catch (error) {
      if (this.#ended || hasCode(error, 'xenstore-lost')) return;
      if (!this.#lookFailed) this.context.log.warning(TOPIC, `${this.label}: ${messageOf(error)}`);
      this.#lookFailed = true;
      this.#allUnread = true;
      this.#askAgain();
      return;
    }
    if (!this.#ended) this.onReport(before);
  }

  /** What a look that failed has not heard may not change again. */
  #askAgain(): void {
    if (this.#lookAsked) return;
    this.#lookAsked = true;
    this.#askLater(RETRY_MS);
  }

  /** Asks for no node that is not there: a new stream has few. Returns the names of all that are, reports and others. */
  async #readAll(): Promise<ReadonlySet<string>> {
    const there = new Set(await this.context.xenstore.list(this.path));
    for (const node of REPORT_NODES)
      if (!there.has(node)) this.#report = { ...this.#report, [node]: undefined };
    await this.#read(REPORT_NODES.filter((node) => there.has(node)));
    return there;
  }

  async #read(nodes: readonly ReportNode[]): Promise<void> {
    for (const node of nodes) {
      const value = await this.context.xenstore.read(`${this.path}/${node}`);
      const result = withNode(this.#report, node, value);
      if (result.ok) this.#report = result.report;
      else this.#complain(node, `expected ${result.expected}, found ${quoted(value ?? '')}`);
    }
  }

  #complain(node: ReportNode, fault: string): void {
    if (this.#complained.has(node)) return;
    this.#complained.add(node);
    this.context.log.warning(TOPIC, `${this.label}: ${this.path}/${node}: ${fault}: ignored`);
  }
}
