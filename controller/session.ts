// SPDX-License-Identifier: LGPL-2.1-or-later
import type { DaemonConfig } from '../schemas/config.js';
import { DomId } from '../schemas/primitives.js';
import { XenstoreAdapter } from './adapters/xenstore/xenstore-adapter.js';
import type { AudioService, ToolstackPort } from './api/audio-service.js';
import type { ClockPort, LogPort, PulsePort, XenstorePort } from './device/ports.js';
import { DeviceRegistry } from './device/registry.js';
import { Guests, type RecordPort } from './guest/guests.js';
import type { GuestPolicy } from './policy/evaluate.js';
import type { GuestIdentity } from './policy/match.js';
import { AutoAttach } from './toolstack/auto-attach.js';
import { Toolstack } from './toolstack/toolstack.js';
import { messageOf, XenAudioError } from './util/errors.js';
import { quoted } from './util/text.js';

/** What a session works with, and what outlives it. */
export interface SessionContext {
  readonly config: DaemonConfig;
  readonly clock: ClockPort;
  readonly log: LogPort;
  readonly pulse: PulsePort;
  readonly records: RecordPort;
  readonly service: AudioService;
  readonly policyOf: (identity: GuestIdentity) => GuestPolicy;
}

const TOPIC = 'controller';

/** One connection to xenstore, and all that is built on it. Running streams survive its end. */
export class Session {
  readonly #stops: (() => Promise<void>)[] = [];

  private constructor(
    readonly ownDomid: number,
    readonly guests: Guests,
    readonly cards: DeviceRegistry,
    readonly toolstack: ToolstackPort,
    private readonly attaching: AutoAttach,
    private readonly log: LogPort,
  ) {}

  /**
   * Starts serving. On failure, or when `signal` aborts, what was started is stopped before this rejects.
   * @param onLost called once when the connection has broken
   */
  static async start(
    context: SessionContext,
    signal: AbortSignal,
    onLost: (error: unknown) => void,
  ): Promise<Session> {
    const { config, clock, log, pulse, records, service, policyOf } = context;
    const xenstore = await XenstoreAdapter.open(log, onLost);
    const stops = [(): Promise<void> => xenstore.close()];
    try {
      const ownDomid = await readOwnDomid(xenstore);
      const guests = new Guests({
        xenstore,
        clock,
        log,
        records,
        policyOf,
        events: service,
        levels: service.levels,
        suspendedDomidOf: (id) => service.suspendedDomidOf(id),
      });
      const cards = new DeviceRegistry({ ownDomid, config, xenstore, pulse, clock, log, guests });
      stops.push(() => cards.stop());
      await cards.start();
      throwIfAborted(signal);
      const toolstack = new Toolstack({ ownDomid, xenstore, clock, log });
      const attaching = new AutoAttach(
        { ownDomid, xenstore, clock, log },
        toolstack,
        ({ uuid, name }) => policyOf({ uuid, xenName: name }).attach,
      );
      stops.push(() => attaching.stop());
      stops.push(() => toolstack.close()); // before that, which waits for what it has begun
      await attaching.start();
      const session = new Session(ownDomid, guests, cards, toolstack, attaching, log);
      session.#stops.push(...stops);
      log.info(TOPIC, `serving vsnd devices of domain ${ownDomid}`);
      return session;
    } catch (error) {
      await stopAll(stops, log);
      throw error;
    }
  }

  /** Another policy is in force: puts it in force in running streams as well. */
  async policyChanged(): Promise<void> {
    await this.guests.policyChanged();
    this.attaching.reconsider();
  }

  /** In reverse order of start. */
  async stop(): Promise<void> {
    await stopAll(this.#stops, this.log);
  }
}

/** In reverse order; what fails leaves the others to be stopped. */
const stopAll = async (stops: (() => Promise<void>)[], log: LogPort): Promise<void> => {
  for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) {
    try {
      await stop();
    } catch (error) {
      log.debug(TOPIC, `while stopping: ${messageOf(error)}`);
    }
  }
};

const readOwnDomid = async (xenstore: XenstorePort): Promise<number> => {
  const text = await xenstore.read('domid');
  const domid = DomId.safeParse(text);
  if (domid.success) return domid.data;
  throw new XenAudioError(
    'xenstore',
    `domid: found ${text === undefined ? 'nothing' : quoted(text)}, expected this domain's number: has xen-init-dom0 run?`,
  );
};

const throwIfAborted = (signal: AbortSignal): void => {
  if (signal.aborted) throw new XenAudioError('aborted', 'stopped while starting');
};
