// SPDX-License-Identifier: LGPL-2.1-or-later

/** A value with the serial of the request it answers, or that it is. */
export interface Stamped<T> {
  readonly serial: number;
  readonly value: T;
}

const SERIAL_END = 2 ** 32;

export const nextRequest = <T>(lastSerial: number, value: T): Stamped<T> => ({
  serial: (lastSerial + 1) % SERIAL_END,
  value,
});

/**
 * One setting of a guest that both sides may change, on each of its streams: the controller by a request, the user by
 * moving a slider of PulseAudio's, which the stream's module reports. The last change wins, whichever side it came from, and
 * every stream follows: a report that answers the last request is newer than it, one that answers an earlier request
 * crossed with it and is history.
 */
export class Agreement<T> {
  readonly #sent = new Map<string, Stamped<T>>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  /**
   * A stream begins. Returns the request to write for it, if any.
   * @param last the last request that stands in its control directory: of an adopted stream
   * @param report what its module says
   */
  begin(stream: string, last?: Stamped<T>, report?: Stamped<T>): Stamped<T> | undefined {
    if (last !== undefined && report?.serial === last.serial) {
      this.#sent.set(stream, last);
      this.#value = report.value;
      return undefined;
    }
    return this.#request(stream, last?.serial ?? 0);
  }

  end(stream: string): void {
    this.#sent.delete(stream);
  }

  /** Somebody sets it over the daemon. Returns the requests to write, one a stream. */
  set(value: T): Map<string, Stamped<T>> {
    this.#value = value;
    return this.#requestAll([...this.#sent.keys()]);
  }

  /** A stream's module says what is. Returns the requests to write to the others, or undefined: it was no news. */
  report(stream: string, report: Stamped<T>): Map<string, Stamped<T>> | undefined {
    if (this.#sent.get(stream)?.serial !== report.serial || report.value === this.#value) return undefined;
    this.#value = report.value;
    return this.#requestAll([...this.#sent.keys()].filter((other) => other !== stream));
  }

  #requestAll(streams: readonly string[]): Map<string, Stamped<T>> {
    return new Map(
      streams.map((stream) => [stream, this.#request(stream, this.#sent.get(stream)?.serial ?? 0)]),
    );
  }

  #request(stream: string, lastSerial: number): Stamped<T> {
    const request = nextRequest(lastSerial, this.#value);
    this.#sent.set(stream, request);
    return request;
  }
}
