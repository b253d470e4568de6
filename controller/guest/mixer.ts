// SPDX-License-Identifier: LGPL-2.1-or-later
import { Agreement, type Stamped } from './agreement.js';
import { formatRequest, parseRequest, type StreamReport } from './stream-report.js';

/** Nodes to write into the control directories of streams, by stream. */
export type Orders = ReadonlyMap<string, Readonly<Record<string, string>>>;

/** Request nodes that stand in a stream's control directory. */
export interface StandingRequests {
  readonly volume: string | undefined;
  readonly mute: string | undefined;
}

/** Volume and mute of a guest, which PulseAudio's mixer has too: one of each for all of its playing streams. */
export class Mixer {
  readonly #volume: Agreement<number>;
  readonly #mute: Agreement<boolean>;

  constructor(volume: number, mute: boolean) {
    this.#volume = new Agreement(volume);
    this.#mute = new Agreement(mute);
  }

  get volume(): number {
    return this.#volume.value;
  }

  get mute(): boolean {
    return this.#mute.value;
  }

  /** A stream begins. Returns the nodes to write for it; of one that is adopted, what its module says is taken over. */
  begin(stream: string, standing: StandingRequests, report: StreamReport): Readonly<Record<string, string>> {
    const volume = this.#volume.begin(stream, parseRequest.volume(standing.volume), report.volume);
    const mute = this.#mute.begin(stream, parseRequest.mute(standing.mute), report.mute);
    return {
      ...(volume === undefined ? {} : { 'volume-set': formatRequest.volume(volume) }),
      ...(mute === undefined ? {} : { 'mute-set': formatRequest.mute(mute) }),
    };
  }

  end(stream: string): void {
    this.#volume.end(stream);
    this.#mute.end(stream);
  }

  setVolume(volume: number): Orders {
    return ordersOf('volume-set', formatRequest.volume, this.#volume.set(volume));
  }

  setMute(mute: boolean): Orders {
    return ordersOf('mute-set', formatRequest.mute, this.#mute.set(mute));
  }

  /** What a stream's module says. Undefined: it is no news. */
  heard(stream: string, { volume, mute }: StreamReport): Orders | undefined {
    const volumes = volume === undefined ? undefined : this.#volume.report(stream, volume);
    const mutes = mute === undefined ? undefined : this.#mute.report(stream, mute);
    if (volumes === undefined && mutes === undefined) return undefined;
    const orders = new Map(
      ordersOf('volume-set', formatRequest.volume, volumes ?? new Map<string, Stamped<number>>()),
    );
    for (const [other, nodes] of ordersOf(
      'mute-set',
      formatRequest.mute,
      mutes ?? new Map<string, Stamped<boolean>>(),
    )) {
      orders.set(other, { ...orders.get(other), ...nodes });
    }
    return orders;
  }
}

const ordersOf = <T>(
  node: string,
  format: (request: Stamped<T>) => string,
  requests: ReadonlyMap<string, Stamped<T>>,
): Orders => new Map([...requests].map(([stream, request]) => [stream, { [node]: format(request) }]));
