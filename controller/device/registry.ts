// SPDX-License-Identifier: LGPL-2.1-or-later
import { DomId } from '../../schemas/primitives.js';
import { deviceOfModule } from '../sndif/module-arguments.js';
import { hasCode, messageOf } from '../util/errors.js';
import {
  backendRoot,
  deviceKey,
  deviceOfBackendPath,
  tryParseDeviceId,
  type DeviceId,
} from '../xenbus/paths.js';
import { BackendDevice, type DeviceContext } from './backend-device.js';
import { ControlDirectory } from './control-directory.js';
import type { Watch } from './ports.js';
import { unloadIfUp } from './stream-set.js';

const TOPIC = 'registry';
/** The toolstack makes cards; this only bounds what a mistake of its can cost us. */
const CARDS_PER_GUEST_MAX = 64;

/** All cards of all guests: found by one watch on the backend's directory, each with its own queue. */
export class DeviceRegistry {
  readonly #devices = new Map<string, BackendDevice>();
  readonly #context: DeviceContext;
  #watches: Watch[] = [];
  #unsubscribe: () => void = () => undefined;
  #scanning: Promise<void> | undefined;
  #scanAgain = false;
  #stopped = false;

  constructor(context: Omit<DeviceContext, 'control' | 'streamsElsewhere' | 'onForgotten'>) {
    this.#context = {
      ...context,
      control: new ControlDirectory(context.xenstore, context.ownDomid),
      streamsElsewhere: (id) => this.#streamsElsewhere(id),
      onForgotten: (id) => {
        this.#devices.delete(deviceKey(id));
        context.guests.changed(); // somebody may wait for what its domain had open
      },
    };
  }

  /** Finds the devices there are and begins to watch for others. The sound server must have been tried before. */
  async start(): Promise<void> {
    const { xenstore, pulse, ownDomid } = this.#context;
    await this.#scan();
    await this.#unloadStrays();
    await this.#removeStrayControl();
    this.#unsubscribe = pulse.onChange(() => {
      this.#serverChanged();
    });
    this.#watches = [
      await xenstore.watch(backendRoot(ownDomid), (path) => {
        this.#backendChanged(path);
      }),
      await xenstore.watch('@releaseDomain', () => {
        for (const device of this.#devices.values()) device.domainReleased();
      }),
      await xenstore.watch('@introduceDomain', () => {
        this.#requestScan();
      }),
    ];
  }

  /** What holds for a domain's cards has changed: looks at them. */
  lookAt(domid: number): void {
    for (const device of this.#cardsOf(domid)) device.notify();
  }

  /** Whether no card of a domain is connected. */
  isDisconnected(domid: number): boolean {
    return this.#cardsOf(domid).every((device) => device.isDisconnected);
  }

  /** Whether the domain has closed as well what it had open for its cards. */
  hasGuestLetGo(domid: number): boolean {
    return this.#cardsOf(domid).every((device) => device.hasGuestLetGo);
  }

  /** Lets go of all devices; running streams play on. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe();
    for (const watch of this.#watches) await watch.remove();
    await this.#scanning;
    await Promise.all([...this.#devices.values()].map((device) => device.stop()));
    this.#devices.clear();
  }

  #backendChanged(path: string): void {
    if (this.#stopped) return;
    const id = deviceOfBackendPath(this.#context.ownDomid, path);
    if (id !== undefined) {
      this.#ensure(id).notify(path);
      return;
    }
    this.#notifyAll();
    this.#requestScan();
  }

  #requestScan(): void {
    if (this.#stopped) return;
    this.#scanAgain = true;
    this.#scanning ??= this.#scanUntilDone();
  }

  #serverChanged(): void {
    for (const device of this.#devices.values()) device.serverChanged();
    this.#unloadStrays().catch((error: unknown) => {
      if (!hasCode(error, 'pulse-down')) this.#context.log.warning(TOPIC, messageOf(error));
    });
  }

  #notifyAll(): void {
    for (const device of this.#devices.values()) device.notify();
  }

  async #scanUntilDone(): Promise<void> {
    while (this.#scanAgain && !this.#stopped) {
      this.#scanAgain = false;
      try {
        await this.#scan();
      } catch (error) {
        if (!hasCode(error, 'xenstore-lost')) this.#context.log.warning(TOPIC, messageOf(error));
      }
    }
    this.#scanning = undefined;
  }

  async #scan(): Promise<void> {
    const { xenstore, ownDomid, log } = this.#context;
    const root = backendRoot(ownDomid);
    for (const domid of (await xenstore.list(root)) ?? []) {
      if (!DomId.safeParse(domid).success) continue;
      const cards = (await xenstore.list(`${root}/${domid}`)) ?? [];
      if (cards.length > CARDS_PER_GUEST_MAX) {
        log.warning(TOPIC, `${root}/${domid}: ${cards.length} cards, only ${CARDS_PER_GUEST_MAX} are served`);
      }
      for (const devid of cards.slice(0, CARDS_PER_GUEST_MAX)) {
        const id = tryParseDeviceId(domid, devid);
        if (id !== undefined) this.#ensure(id).notify();
      }
    }
  }

  #ensure(id: DeviceId): BackendDevice {
    const key = deviceKey(id);
    const known = this.#devices.get(key);
    if (known !== undefined) return known;
    const device = new BackendDevice(this.#context, id);
    this.#devices.set(key, device);
    return device;
  }

  /** Unloads modules whose device is gone: their guests went while no controller ran. */
  async #unloadStrays(): Promise<void> {
    const { pulse, config, log, control } = this.#context;
    if (!pulse.isUp) return;
    for (const module of await pulse.modules()) {
      const id = deviceOfModule(module.argument);
      const ours = module.name === config.pulse.modules.backend && id !== undefined;
      if (!ours || this.#devices.has(deviceKey(id))) continue;
      log.info(TOPIC, `unloading module ${module.index}: its device ${deviceKey(id)} is gone`);
      await unloadIfUp(pulse, module);
      await control.removeCard(id);
    }
  }

  /** Removes what a controller before us has told modules that are gone, of devices that are gone. */
  async #removeStrayControl(): Promise<void> {
    const { control } = this.#context;
    for (const id of await control.cards()) {
      if (!this.#devices.has(deviceKey(id))) await control.removeCard(id);
    }
  }

  #streamsElsewhere(id: DeviceId): number {
    return this.#cardsOf(id.domid)
      .filter((device) => device.id.devid !== id.devid)
      .reduce((sum, device) => sum + device.streamCount, 0);
  }

  #cardsOf(domid: number): BackendDevice[] {
    return [...this.#devices.values()].filter((device) => device.id.domid === domid);
  }
}
