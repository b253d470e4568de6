// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';

import type { Machine } from '../host/machine.js';
import type { OwnedProcess } from './process.js';

const Volume = z.looseObject({ value: z.number(), value_percent: z.string() });
const Properties = z.record(z.string(), z.string());

const Device = z.looseObject({
  index: z.number(),
  name: z.string(),
  state: z.string(),
  driver: z.string(),
  sample_specification: z.string(),
  mute: z.boolean(),
  volume: z.record(z.string(), Volume),
  properties: Properties,
});

const Stream = z.looseObject({
  index: z.number(),
  client: z.string().nullable(),
  sample_specification: z.string(),
  corked: z.boolean(),
  mute: z.boolean(),
  volume: z.record(z.string(), Volume),
  buffer_latency_usec: z.number(),
  properties: Properties,
});

/** What `pactl -f json list` prints, as far as tests read it. */
const lists = {
  sinks: Device.extend({ latency: z.looseObject({ actual: z.number(), configured: z.number() }).optional() }),
  sources: Device,
  'sink-inputs': Stream.extend({ sink: z.number(), sink_latency_usec: z.number() }),
  'source-outputs': Stream.extend({ source: z.number(), source_latency_usec: z.number() }),
  modules: z.looseObject({ name: z.string(), argument: z.string().optional().default('') }),
};
type Lists = typeof lists;
export type PulseListName = keyof Lists;
export type PulseItem<L extends PulseListName> = z.infer<Lists[L]>;

export interface StreamFormat {
  /** As PulseAudio spells it: `s16le`. */
  format: string;
  /** Hz. */
  rate: number;
  channels: number;
}

/** A sound server as its clients see it, through `pactl` and `pacat` on its machine. */
export class PulseClient {
  /** The environment of a client program of this server. */
  readonly env: NodeJS.ProcessEnv;

  /**
   * @param machine where the server runs, and its clients
   * @param server as in PULSE_SERVER
   * @param cookie a file the client library may create instead of the user's own
   * @param serverFromHere the server as programs of this machine reach it
   */
  constructor(
    readonly machine: Machine,
    readonly server: string,
    cookie: string,
    readonly serverFromHere = server,
  ) {
    const { PATH, HOME } = process.env;
    this.env = { PATH, HOME, LC_ALL: 'C', PULSE_SERVER: server, PULSE_COOKIE: cookie };
  }

  /** Runs `pactl` and resolves to its output. @throws Error with what it printed when it fails */
  async pactl(...args: string[]): Promise<string> {
    const result = await this.machine.run('pactl', args, { env: this.env });
    if (result.code !== 0) {
      throw new Error(`pactl ${args.join(' ')} on ${this.server}: ${result.stderr.trim()}`);
    }
    return result.stdout.trim();
  }

  /** Everything of one kind, checked. */
  async list<L extends PulseListName>(what: L): Promise<PulseItem<L>[]> {
    const text = await this.pactl('-f', 'json', 'list', what);
    return z.array(lists[what]).parse(JSON.parse(text));
  }

  /** The one sink of that name. @throws Error that names the sinks there are */
  async sink(name: string): Promise<PulseItem<'sinks'>> {
    const sinks = await this.list('sinks');
    const found = sinks.find((sink) => sink.name === name);
    if (found === undefined) {
      throw new Error(
        `no sink '${name}' on ${this.server}; there are: ${sinks.map((s) => s.name).join(', ')}`,
      );
    }
    return found;
  }

  /** The one source of that name. @throws Error when there is none */
  async source(name: string): Promise<PulseItem<'sources'>> {
    const found = (await this.list('sources')).find((source) => source.name === name);
    if (found === undefined) {
      throw new Error(`no source '${name}' on ${this.server}`);
    }
    return found;
  }

  /** Loads a module. @returns its index @throws Error when the server refuses it */
  async loadModule(name: string, args = ''): Promise<number> {
    return Number(await this.pactl('load-module', name, ...(args === '' ? [] : [args])));
  }

  async unloadModule(index: number): Promise<void> {
    await this.pactl('unload-module', String(index));
  }

  /** Plays raw PCM from a file of its machine to its end, drain included; the caller owns the process. */
  play(
    sink: string,
    file: string,
    format: StreamFormat,
    options: { latencyMs?: number; processMs?: number; logFile?: string } = {},
  ): OwnedProcess {
    const processTime = options.processMs === undefined ? [] : [`--process-time-msec=${options.processMs}`];
    const args = [...streamArgs(sink, format, options.latencyMs), ...processTime, '--playback', file];
    return this.machine.start(`pacat to ${sink}`, 'pacat', args, this.options(options.logFile));
  }

  /** Records a source into a file of this machine, made anew, as raw PCM until it is stopped; the caller owns the process. */
  record(
    source: string,
    file: string,
    format: StreamFormat,
    options: { latencyMs?: number; logFile?: string } = {},
  ): OwnedProcess {
    const args = [...streamArgs(source, format, options.latencyMs), '--record'];
    const outputs = { ...this.options(options.logFile), outputFile: file };
    return this.machine.start(`parec from ${source}`, 'pacat', args, outputs);
  }

  private options(logFile: string | undefined): { env: NodeJS.ProcessEnv; logFile?: string } {
    return { env: this.env, ...(logFile === undefined ? {} : { logFile }) };
  }
}

function streamArgs(device: string, format: StreamFormat, latencyMs: number | undefined): string[] {
  return [
    `--device=${device}`,
    '--raw',
    `--format=${format.format}`,
    `--rate=${format.rate}`,
    `--channels=${format.channels}`,
    ...(latencyMs === undefined ? [] : [`--latency-msec=${latencyMs}`]),
  ];
}
