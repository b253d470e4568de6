// SPDX-License-Identifier: LGPL-2.1-or-later
import type { Message } from 'dbus-next';
import { z } from 'zod';
import type { AudioClient } from './audio-client.js';
import { explainFailure } from './failure.js';
import { AUDIO, OBJECT_MANAGER, PROPERTIES } from './interfaces.js';
import { guestsOf, ObjectInterfaces, Properties, type Guest } from './shapes.js';

/** What happens to the daemon's guests. */
export interface LiveEvents {
  /** Something of `guests` or `running` is another than before. */
  changed(): void;
  /** The daemon is there, now or again; `guests` are its own. */
  appeared?(): void;
  /** A guest asks for the microphone, until `deadlineUsec` of CLOCK_REALTIME. */
  captureRequested?(path: string, deadlineUsec: number): void;
  /** The daemon said something that cannot be understood, or stopped answering. */
  failed(error: Error): void;
}

const Changed = z.tuple([z.string(), Properties, z.array(z.string())]);
const Added = z.tuple([z.string(), ObjectInterfaces]);
const Removed = z.tuple([z.string(), z.array(z.string())]);
const Requested = z.tuple([z.bigint().transform(Number)]);
const OwnerChanged = z.tuple([z.string(), z.string(), z.string()]);

/** The daemon's guests as they are now, followed through its signals, its end and its return. */
export class LiveGuests {
  #objects = new Map<string, ObjectInterfaces>();
  /** Connection that is the daemon; undefined while it is not running. */
  #owner: string | undefined;
  /** Signals that came while the picture was on its way; undefined when it is there. */
  #early: Message[] | undefined;

  constructor(
    private readonly client: AudioClient,
    private readonly events: LiveEvents,
  ) {}

  /** Resolves when the guests are known, or the daemon is known not to run; once. Throws as `AudioClient`. */
  async start(): Promise<void> {
    const { bus } = this.client;
    bus.onSignal((signal) => {
      try {
        this.#dispatch(signal);
      } catch (error) {
        this.#fail(error);
      }
    });
    await bus.match(`sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${AUDIO.service}'`);
    await bus.match(`sender='${AUDIO.service}',path_namespace='${AUDIO.path}'`);
    const owner = await bus.ownerOf(AUDIO.service);
    // A daemon that came meanwhile is being adopted.
    if (owner !== undefined && this.#owner === undefined) await this.#adopt(owner);
  }

  get running(): boolean {
    return this.#owner !== undefined;
  }

  /** The guests, by name. @throws CommandError when they are not what packaging/dbus describes */
  guests(): Guest[] {
    try {
      return guestsOf(this.#objects);
    } catch (error) {
      throw explainFailure(error, this.client.bus.label);
    }
  }

  /** The guest at an object's path. Throws as `guests`. */
  guestAt(path: string): Guest | undefined {
    return this.guests().find(({ id }) => path.endsWith(`/${id}`));
  }

  /**
   * Takes a picture of the daemon `owner`. A signal may be handled before the answer that it followed, so they are
   * applied after it, all of them: the last one about a property is as new as the picture, or newer.
   */
  async #adopt(owner: string): Promise<void> {
    this.#owner = owner;
    this.#early = [];
    const objects = await this.client.objects();
    if (this.#owner !== owner) return;
    const early = this.#early;
    this.#objects = new Map(Object.entries(objects));
    this.#early = undefined;
    this.events.appeared?.();
    this.events.changed();
    for (const signal of early) this.#apply(signal);
  }

  #dispatch(signal: Message): void {
    if (signal.sender === 'org.freedesktop.DBus' && signal.member === 'NameOwnerChanged') {
      const [name, , owner] = OwnerChanged.parse(signal.body);
      if (name === AUDIO.service) this.#ownerChanged(owner);
    } else if (signal.sender === this.#owner) {
      if (this.#early === undefined) this.#apply(signal);
      else this.#early.push(signal);
    }
  }

  #ownerChanged(owner: string): void {
    if (owner === this.#owner) return;
    this.#owner = undefined;
    this.#early = undefined;
    this.#objects = new Map();
    this.events.changed();
    if (owner === '') return;
    this.#adopt(owner).catch((error: unknown) => {
      // An owner that went meanwhile is told of by itself.
      if (this.#owner === owner) this.#fail(error);
    });
  }

  #apply({ path, interface: of, member, body }: Message): void {
    switch (`${of}.${member}`) {
      case `${PROPERTIES}.PropertiesChanged`: {
        const [name, changed] = Changed.parse(body);
        const object = this.#objects.get(path);
        const before = object?.[name];
        if (before === undefined) return;
        this.#objects.set(path, { ...object, [name]: { ...before, ...changed } });
        break;
      }
      case `${OBJECT_MANAGER}.InterfacesAdded`: {
        const [added, interfaces] = Added.parse(body);
        this.#objects.set(added, { ...this.#objects.get(added), ...interfaces });
        break;
      }
      case `${OBJECT_MANAGER}.InterfacesRemoved`: {
        const [removed, names] = Removed.parse(body);
        const left = Object.entries(this.#objects.get(removed) ?? {}).filter(
          ([name]) => !names.includes(name),
        );
        if (left.length === 0) this.#objects.delete(removed);
        else this.#objects.set(removed, Object.fromEntries(left));
        break;
      }
      case `${AUDIO.guest}.CaptureRequested`: {
        const [deadlineUsec] = Requested.parse(body);
        this.events.captureRequested?.(path, deadlineUsec);
        return;
      }
      default:
        return;
    }
    this.events.changed();
  }

  #fail(error: unknown): void {
    this.events.failed(explainFailure(error, this.client.bus.label));
  }
}
