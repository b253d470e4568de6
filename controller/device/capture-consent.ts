// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CaptureConfig } from '../../schemas/config.js';
import { evaluateCapture } from '../policy/capture.js';
import type { StreamId } from '../xenbus/paths.js';
import { CaptureStream, type CaptureStreamContext } from './capture-stream.js';
import type { Guest } from './guest.js';

/**
 * Who may record, told to the modules of all capture streams. Apart from the cards' own queues: what is revoked is
 * revoked at once, whatever a guest keeps its card busy with.
 */
export class CaptureConsent {
  readonly #streams = new Set<CaptureStream>();
  #config: CaptureConfig;

  constructor(
    private readonly context: CaptureStreamContext,
    config: CaptureConfig,
  ) {
    this.#config = config;
  }

  /** Puts other settings in force, in running streams as well. */
  async change(config: CaptureConfig): Promise<void> {
    this.#config = config;
    await Promise.all([...this.#streams].map((stream) => stream.decide()));
  }

  /** Resolves when a stream's control directory says whether its guest may record. It is kept true until `end`. */
  async begin(id: StreamId, guest: Guest, control: string): Promise<CaptureStream> {
    const label = `${guest.name}/${id.devid}: stream ${id.pcm}/${id.stream}`;
    const stream = new CaptureStream(this.context, control, label, () =>
      evaluateCapture(this.#config, guest),
    );
    this.#streams.add(stream);
    try {
      await stream.start();
    } catch (error) {
      await this.end(stream);
      throw error;
    }
    return stream;
  }

  /** Writes nothing more for a stream; its control directory may go. */
  async end(stream: CaptureStream): Promise<void> {
    this.#streams.delete(stream);
    await stream.end();
  }
}
