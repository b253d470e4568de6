// SPDX-License-Identifier: LGPL-2.1-or-later
import { SerialQueue } from '../util/queue.js';
import { controlPath, controlRoot, tryParseDeviceId, type DeviceId, type StreamId } from '../xenbus/paths.js';
import type { XenstorePort } from './ports.js';

/**
 * The directories through which controller and backend modules talk, one a stream, readable by the backend domain alone.
 * All changes run one after the other: a directory that is found empty and removed cannot be in the making.
 */
export class ControlDirectory {
  readonly #queue = new SerialQueue();

  constructor(
    private readonly xenstore: XenstorePort,
    private readonly ownDomid: number,
  ) {}

  /** Makes a stream's directory, empty. Returns its path. */
  create(id: StreamId): Promise<string> {
    return this.#queue.run(async () => {
      const path = controlPath(this.ownDomid, id);
      await this.xenstore.remove(path);
      await this.xenstore.makePrivate(path, this.ownDomid);
      return path;
    });
  }

  /** The cards that have directories. */
  async cards(): Promise<DeviceId[]> {
    const root = controlRoot(this.ownDomid);
    const ids: DeviceId[] = [];
    for (const domid of (await this.xenstore.list(root)) ?? []) {
      for (const devid of (await this.xenstore.list(`${root}/${domid}`)) ?? []) {
        const id = tryParseDeviceId(domid, devid);
        if (id !== undefined) ids.push(id);
      }
    }
    return ids;
  }

  /** Removes the directories of a card, and those above that held nothing else. */
  removeCard(id: DeviceId): Promise<void> {
    return this.#queue.run(async () => {
      const root = controlRoot(this.ownDomid);
      await this.xenstore.remove(`${root}/${id.domid}/${id.devid}`);
      for (const parent of [`${root}/${id.domid}`, root]) {
        const children = await this.xenstore.list(parent);
        if (children !== undefined && children.length > 0) return;
        await this.xenstore.remove(parent);
      }
    });
  }
}
