// SPDX-License-Identifier: LGPL-2.1-or-later
/** What the controller and a backend module tell each other of a stream, spoken by a test in the controller's stead. */
import { z } from 'zod';

import { CAPTURE_STREAM, controlPath, type Guest, PLAYBACK_STREAM } from '../host/guest.js';
import type { Host } from '../host/host.js';
import { waitFor } from './wait.js';

const DEVID = 0;
/** 100 %, as everywhere in PulseAudio. */
export const NORM = 65_536;

/** What is ordered with `<name>-set` and reported with `<name>`. */
export type Ordered = 'volume' | 'mute' | 'device';

/** The control directory of a guest's stream. */
export class Control {
  readonly path: string;
  /** Of the last order of each. */
  readonly #serials: Record<Ordered, number> = { volume: 0, mute: 0, device: 0 };

  private constructor(
    private readonly host: Host,
    private readonly guest: Guest,
    direction: 'playback' | 'capture' = 'playback',
  ) {
    const stream = direction === 'playback' ? PLAYBACK_STREAM : CAPTURE_STREAM;
    this.path = `${controlPath(guest.domain.domid, DEVID)}/${stream}`;
  }

  /** Speaks from where the controller, which must have stopped, left off. */
  static async of(host: Host, guest: Guest, direction?: 'playback' | 'capture'): Promise<Control> {
    const control = new Control(host, guest, direction);
    for (const what of ['volume', 'mute', 'device'] as const) {
      control.#serials[what] = Number((await control.read(`${what}-set`))?.split(' ')[0] ?? 0);
    }
    return control;
  }

  async write(node: string, value: string): Promise<void> {
    await this.host.xen.store.write(`${this.path}/${node}`, value);
  }

  /** Orders something. @returns when it is reported: as ordered, or what becomes of it */
  async order(what: Ordered, value: string | number, becomes: string | number = value): Promise<void> {
    this.#serials[what] += 1;
    await this.write(`${what}-set`, `${this.#serials[what]} ${value}`);
    await this.reports(what, becomes);
  }

  /** Waits until something is reported, since the last order of it. */
  async reports(what: Ordered, value: string | number, timeoutMs?: number): Promise<void> {
    await this.says(what, this.report(what, value), timeoutMs);
  }

  /** The report of a value, since the last order of it. */
  report(what: Ordered, value: string | number): string {
    return `${this.#serials[what]} ${value}`;
  }

  async read(node: string): Promise<string | undefined> {
    return this.host.xen.store.tryRead(`${this.path}/${node}`);
  }

  /** Waits until a node says what is wanted. @returns what it says */
  async says(
    node: string,
    wanted: string | ((value: string) => boolean),
    timeoutMs = 10_000,
  ): Promise<string> {
    let found: string | undefined;
    const isSo = async (): Promise<string | undefined> => {
      found = await this.read(node);
      const fits = typeof wanted === 'string' ? found === wanted : found !== undefined && wanted(found);
      return fits ? found : undefined;
    };
    const expected = typeof wanted === 'string' ? `'${wanted}'` : 'what is expected';
    const detail = (): string => `it says '${found ?? ''}'\n${this.guest.logTail()}`;
    const value = await waitFor(`${this.path}/${node} to say ${expected}`, isSo, {
      timeoutMs,
      intervalMs: 5,
      detail,
    });
    return value;
  }
}

const Volume = z.record(z.string(), z.looseObject({ value: z.number() }));
const Streams = z.array(
  z.looseObject({
    index: z.number(),
    sink: z.number().optional(),
    source: z.number().optional(),
    mute: z.boolean(),
    volume: Volume,
    properties: z.record(z.string(), z.string()),
  }),
);
export type MixerStream = z.infer<typeof Streams>[number];

/** What dom0's mixer shows of a guest; none when it has no stream there. */
export async function inMixer(
  host: Host,
  guest: Guest,
  list: 'sink-inputs' | 'source-outputs' = 'sink-inputs',
): Promise<MixerStream | undefined> {
  const text = await host.client.pactl('-f', 'json', 'list', list);
  const domid = String(guest.domain.domid);
  return Streams.parse(JSON.parse(text)).find((stream) => stream.properties['xen.guest.domid'] === domid);
}

/** Its one stream in dom0's mixer, once it is there. */
export async function awaitInMixer(
  host: Host,
  guest: Guest,
  list?: 'sink-inputs' | 'source-outputs',
): Promise<MixerStream> {
  return waitFor(`${guest.domain.name} to be in dom0's mixer`, () => inMixer(host, guest, list), {
    timeoutMs: 20_000,
    detail: () => guest.logTail(),
  });
}

/** The values of its slider, channel by channel. */
export function sliderOf(stream: MixerStream): number[] {
  return Object.values(stream.volume).map(({ value }) => value);
}

/** What PulseAudio makes of samples at a volume. */
export const gainOf = (volume: number): number => (volume / NORM) ** 3;
