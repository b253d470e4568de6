// SPDX-License-Identifier: LGPL-2.1-or-later
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';

import type { Guest } from '../host/guest.js';
import { SPEAKERS, type Host } from '../host/host.js';
import { noise } from './e2e-signals.js';
import type { OwnedProcess } from './process.js';
import type { PulseClient, StreamFormat } from './pulse.js';
import { waitFor } from './wait.js';

/** PulseAudio's default, so that nothing on the way converts. */
export const FORMAT: StreamFormat = { format: 's16le', rate: 44100, channels: 2 };
export const FRAME_BYTES = 4;
const LATENCY_MS = 100;
const LIMIT_MS = 25_000;
/** As long as an ear waits. */
const HEARD_NOISE_SECONDS = 30;

/** Listens to a source while a test goes on. */
export class Ear {
  private static count = 0;

  private constructor(
    private readonly recorder: OwnedProcess,
    private readonly source: string,
    private readonly file: string,
  ) {}

  /** Listens to what a sink of dom0's plays. */
  static open(host: Host, sink: string): Promise<Ear> {
    return Ear.ofSource(host, host.client, `${sink}.monitor`);
  }

  /** Listens to a guest's source. */
  static inGuest(host: Host, guest: Guest): Promise<Ear> {
    return Ear.ofSource(host, guest.client, guest.source ?? '');
  }

  private static async ofSource(host: Host, client: PulseClient, source: string): Promise<Ear> {
    Ear.count += 1;
    const file = join(host.dir, `${source}-${Ear.count}.pcm`);
    const logFile = join(host.dir, 'ears.log');
    const recorder = client.record(source, file, FORMAT, { latencyMs: LATENCY_MS, logFile });
    const ear = new Ear(recorder, source, file);
    await ear.await('to be recorded', 1, () => true);
    return ear;
  }

  /** Whether it still listens. */
  get running(): boolean {
    return this.recorder.running;
  }

  /** Resolves when it has heard that much more, whatever it is: time goes on. */
  async goesOn(seconds = 0.2): Promise<void> {
    await this.await('to go on', seconds, () => true);
  }

  /** Resolves when sound comes out of the source from now on, that much without a pause. */
  async hears(seconds = 0.2): Promise<void> {
    await this.await('to sound', seconds, (octets) => !hasPause(octets));
  }

  /** Resolves when silence comes out of the source from now on. */
  async hearsNothing(seconds = 0.2): Promise<void> {
    await this.await('to be silent', seconds, (octets) => octets.every((octet) => octet === 0));
  }

  /** Ends the recording, and yields it. Harmless when it has ended. */
  async close(): Promise<Buffer> {
    await this.recorder.stop();
    return readFileSync(this.file);
  }

  private async await(what: string, seconds: number, judge: (octets: Buffer) => boolean): Promise<void> {
    const length = Math.ceil(seconds * FORMAT.rate) * FRAME_BYTES;
    const begin = sizeOf(this.file);
    const probe = (): boolean => {
      const octets = tail(this.file, begin, length);
      return octets.length === length && judge(octets);
    };
    await waitFor(`the source ${this.source} ${what} for ${seconds} s`, probe, {
      timeoutMs: LIMIT_MS,
      detail: () => this.recorder.logTail(),
    });
  }
}

/** Sound comes out of dom0's loudspeakers. */
export async function speakersSound(host: Host): Promise<void> {
  const ear = await Ear.open(host, SPEAKERS);
  try {
    await ear.hears();
  } finally {
    await ear.close();
  }
}

/** What a guest plays comes out of a sink of dom0's. @param from the guest's sink; default: module-xen-sink's */
export async function isHeard(
  host: Host,
  sink: string,
  guest: Guest,
  from: string = guest.sink ?? '',
): Promise<void> {
  const file = join(guest.dir, 'heard');
  await guest.domain.machine.write(file, noise(FORMAT, HEARD_NOISE_SECONDS));
  const player = guest.client.play(from, file, FORMAT);
  const ear = await Ear.open(host, sink);
  try {
    await ear.hears();
  } finally {
    await ear.close();
    await player.stop();
  }
}

function hasPause(pcm: Buffer): boolean {
  for (let at = 0; at + FRAME_BYTES <= pcm.length; at += FRAME_BYTES) {
    if (pcm.readUInt32LE(at) === 0) return true;
  }
  return false;
}

function sizeOf(file: string): number {
  const fd = openSync(file, 'r');
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}

/** The last octets of a file, whole frames, none of them before `begin`; less while there are not that many. */
function tail(file: string, begin: number, length: number): Buffer {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const end = size - (size % FRAME_BYTES);
    const start = Math.max(begin + ((FRAME_BYTES - (begin % FRAME_BYTES)) % FRAME_BYTES), end - length);
    const octets = Buffer.alloc(Math.max(0, end - start));
    readSync(fd, octets, 0, octets.length, start);
    return octets;
  } finally {
    closeSync(fd);
  }
}
