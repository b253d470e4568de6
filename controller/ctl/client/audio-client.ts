// SPDX-License-Identifier: LGPL-2.1-or-later
import { Variant } from 'dbus-next';
import { z } from 'zod';
import type { CardLayout, ExplainedSetting, StreamDirection } from '../../api/audio-api.js';
import type { Bus, RemoteObject } from './bus.js';
import { explainFailure } from './failure.js';
import { AUDIO, interfaceXml, OBJECT_MANAGER, PROPERTIES } from './interfaces.js';
import { GuestShape, guestsOf, Objects, Properties, type Guest, type GuestProperties } from './shapes.js';

const Devids = z.array(z.number());
const Settings = z
  .array(z.tuple([z.string(), z.string(), z.string()]))
  .transform((settings) => settings.map(([setting, value, rule]) => ({ setting, value, rule })));

/** The methods of Manager1 that take a guest and yield nothing. */
type GuestAction = 'PrepareSuspend' | 'FinishSuspend';
/** The methods of Guest1 without arguments. */
type CaptureAnswer = 'AllowCaptureOnce' | 'AllowCaptureAlways' | 'DenyCapture';

/** The daemon, seen over D-Bus. All methods throw CommandError, and XenAudioError `timeout`. */
export class AudioClient {
  private constructor(
    readonly bus: Bus,
    private readonly manager: RemoteObject,
  ) {}

  /** @throws CommandError `notRunning` only when it is called: the bus may start the daemon then */
  static async open(bus: Bus): Promise<AudioClient> {
    return new AudioClient(bus, await bus.object(AUDIO.service, AUDIO.path, interfaceXml(AUDIO.manager)));
  }

  /** All objects of the daemon, with their properties. */
  async objects(): Promise<z.infer<typeof Objects>> {
    return this.#explained(async () =>
      Objects.parse(await this.manager.call(OBJECT_MANAGER, 'GetManagedObjects')),
    );
  }

  async guests(): Promise<Guest[]> {
    const objects = await this.objects();
    return this.#explained(() => Promise.resolve(guestsOf(Object.entries(objects))));
  }

  /** @param guest name, UUID, or number of the domain */
  async guest(guest: string): Promise<GuestClient> {
    return this.#explained(async () =>
      this.guestAt(z.string().parse(await this.manager.call(AUDIO.manager, 'GetGuest', guest))),
    );
  }

  /** @param path of the guest's object */
  async guestAt(path: string): Promise<GuestClient> {
    return this.#explained(
      async () =>
        new GuestClient(
          await this.bus.object(AUDIO.service, path, interfaceXml(AUDIO.guest)),
          this.bus.label,
        ),
    );
  }

  /** Resolves with the cards made. */
  async attach(guest: string, layout: CardLayout): Promise<number[]> {
    return this.#explained(async () =>
      Devids.parse(await this.manager.call(AUDIO.manager, 'Attach', guest, layout)),
    );
  }

  async detach(guest: string, devid: number): Promise<void> {
    await this.#explained(() => this.manager.call(AUDIO.manager, 'Detach', guest, devid));
  }

  async suspend(action: GuestAction, guest: string): Promise<void> {
    await this.#explained(() => this.manager.call(AUDIO.manager, action, guest));
  }

  async reload(): Promise<void> {
    await this.#explained(() => this.manager.call(AUDIO.manager, 'Reload'));
  }

  async explainPolicy(guest: string): Promise<ExplainedSetting[]> {
    return this.#explained(async () =>
      Settings.parse(await this.manager.call(AUDIO.manager, 'ExplainPolicy', guest)),
    );
  }

  /** Levels are true until they are stopped, or this connection ends. */
  async showLevels(wanted: boolean): Promise<void> {
    await this.#explained(() => this.manager.call(AUDIO.manager, wanted ? 'StartLevels' : 'StopLevels'));
  }

  #explained<T>(work: () => Promise<T>): Promise<T> {
    return explained(work, this.bus.label);
  }
}

/** One guest, seen over D-Bus; throws as `AudioClient`. */
export class GuestClient {
  constructor(
    private readonly object: RemoteObject,
    private readonly busLabel: string,
  ) {}

  get path(): string {
    return this.object.path;
  }

  async properties(): Promise<GuestProperties> {
    return this.#explained(async () =>
      GuestShape.parse(Properties.parse(await this.object.call(PROPERTIES, 'GetAll', AUDIO.guest))),
    );
  }

  /** @param volume 1 is 100 % */
  async setVolume(volume: number): Promise<void> {
    await this.#set('Volume', new Variant('d', volume));
  }

  async setMute(mute: boolean): Promise<void> {
    await this.#set('Mute', new Variant('b', mute));
  }

  async setRoute(direction: StreamDirection, device: string): Promise<void> {
    await this.#explained(() => this.object.call(AUDIO.guest, 'SetRoute', direction, device));
  }

  async answerCapture(answer: CaptureAnswer): Promise<void> {
    await this.#explained(() => this.object.call(AUDIO.guest, answer));
  }

  async allowCaptureFor(seconds: number): Promise<void> {
    await this.#explained(() => this.object.call(AUDIO.guest, 'AllowCaptureFor', seconds));
  }

  async #set(property: string, value: Variant): Promise<void> {
    await this.#explained(() => this.object.call(PROPERTIES, 'Set', AUDIO.guest, property, value));
  }

  #explained<T>(work: () => Promise<T>): Promise<T> {
    return explained(work, this.busLabel);
  }
}

const explained = async <T>(work: () => Promise<T>, label: string): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    throw explainFailure(error, label);
  }
};
