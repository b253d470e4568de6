// SPDX-License-Identifier: LGPL-2.1-or-later
import type { GuestRecord } from '../../schemas/guest-record.js';
import type { ApiEvents } from '../api/audio-api.js';
import type { GuestPolicy } from '../policy/evaluate.js';
import type { DeviceId } from '../xenbus/paths.js';
import { Arrivals } from './arrivals.js';
import type { CardState } from './guest-cards.js';
import { Guest } from './guest.js';
import type { Guest as GuestIdentity } from './identity.js';
import type { StreamControlContext } from './stream-control.js';

/** Where records are kept; see adapters/system/record-file.ts. */
export interface RecordPort {
  read(uuid: string): GuestRecord;
  /** Keeps a record, soon. */
  write(uuid: string, record: GuestRecord): void;
}

/** What the guests need of the daemon around them. */
export interface GuestsContext extends StreamControlContext {
  readonly records: RecordPort;
  readonly events: ApiEvents;
  /** Whether levels are wanted from the start. */
  readonly levels: boolean;
  /** The policy in force, for a guest. */
  readonly policyOf: (identity: Pick<GuestIdentity, 'uuid' | 'xenName'>) => GuestPolicy;
  /** The domain of a guest whose cards shall stay disconnected, from before there were these guests. */
  readonly suspendedDomidOf: (id: string) => number | undefined;
}

/** All guests that have a card. A guest is its VM's UUID; one without is its domain. */
export class Guests {
  readonly #guests = new Map<string, Guest>();
  readonly #arrivals = new Arrivals();
  #levels: boolean;

  constructor(private readonly context: GuestsContext) {
    this.#levels = context.levels;
  }

  get all(): readonly Guest[] {
    return [...this.#guests.values()];
  }

  /** Undefined: no guest of that id has a card. */
  byId(id: string): Guest | undefined {
    return this.#guests.get(id);
  }

  /** Something that the outside is told of is another than before. */
  changed(): void {
    this.#arrivals.notify();
    this.context.events.changed();
  }

  /** Resolves with true when `test` holds, with false when `timeoutMs` have passed. */
  until(test: () => boolean, timeoutMs: number): Promise<boolean> {
    return this.#arrivals.until(test, this.context.clock, timeoutMs);
  }

  /** A card is there, and how it is connected. Returns its guest. */
  card(id: DeviceId, identity: GuestIdentity, state: CardState): Guest {
    const guest = this.#ensure(id, identity);
    guest.card(id, identity, state);
    return guest;
  }

  /** A card is gone; with its last card, its guest. */
  cardGone(id: DeviceId, guest: Guest): void {
    guest.cardGone(id);
    if (guest.isGone && this.#guests.delete(guest.id)) this.changed();
  }

  /** Puts another policy in force, in running streams as well. */
  async policyChanged(): Promise<void> {
    await Promise.all(this.all.map((guest) => guest.changePolicy(this.context.policyOf(guest.identity))));
  }

  /** Whether the modules shall measure levels. */
  async showLevels(wanted: boolean): Promise<void> {
    this.#levels = wanted;
    await Promise.all(this.all.map((guest) => guest.showLevels(wanted)));
  }

  #ensure(id: DeviceId, identity: GuestIdentity): Guest {
    const key = guestId(id, identity);
    const known = this.#guests.get(key);
    if (known !== undefined) return known;
    const { records } = this.context;
    const guest = new Guest(
      {
        ...this.context,
        onChange: () => {
          this.changed();
        },
        onCaptureAsked: ({ id: asker }, deadlineUsec) => {
          this.context.events.captureRequested(asker, deadlineUsec);
        },
        onRecord: ({ identity: { uuid } }, record) => {
          if (uuid !== '') records.write(uuid, record);
        },
      },
      key,
      identity,
      identity.uuid === '' ? {} : records.read(identity.uuid),
      this.#levels,
      this.context.suspendedDomidOf(key),
    );
    this.#guests.set(key, guest);
    return guest;
  }
}

/** As in org.xenproject.Audio1.Guest1's object paths. */
const guestId = ({ domid }: DeviceId, { uuid }: GuestIdentity): string =>
  uuid === '' ? `d${domid}` : `u${uuid.replaceAll('-', '_')}`;
