// SPDX-License-Identifier: LGPL-2.1-or-later
import { DevId, DomId } from '../../schemas/primitives.js';

/** A vsnd card: its guest and its index there. */
export interface DeviceId {
  readonly domid: number;
  readonly devid: number;
}

/** A stream of a card. */
export interface StreamId extends DeviceId {
  readonly pcm: number;
  readonly stream: number;
}

export const deviceKey = (id: DeviceId): string => `${id.domid}/${id.devid}`;

export const backendRoot = (ownDomid: number): string => `/local/domain/${ownDomid}/backend/vsnd`;

export const backendPath = (ownDomid: number, id: DeviceId): string =>
  `${backendRoot(ownDomid)}/${id.domid}/${id.devid}`;

/** Built from numbers alone: a link that a guest could have written is never followed. */
export const frontendPath = (id: DeviceId): string => `/local/domain/${id.domid}/device/vsnd/${id.devid}`;

export const guestPath = (domid: number): string => `/local/domain/${domid}`;

/** Directory shared with the backend modules, readable by the backend domain alone. */
export const controlRoot = (ownDomid: number): string => `/local/domain/${ownDomid}/data/xen-audio`;

export const controlPath = (ownDomid: number, id: StreamId): string =>
  `${controlRoot(ownDomid)}/${id.domid}/${id.devid}/${id.pcm}/${id.stream}`;

/** What a path below the backend's directory is about: one device, or (undefined) any of them. */
export const deviceOfBackendPath = (ownDomid: number, path: string): DeviceId | undefined => {
  const root = `${backendRoot(ownDomid)}/`;
  if (!path.startsWith(root)) return undefined;
  const [domid, devid] = path.slice(root.length).split('/');
  return domid === undefined || devid === undefined ? undefined : tryParseDeviceId(domid, devid);
};

export const tryParseDeviceId = (domid: string, devid: string): DeviceId | undefined => {
  const [parsedDomid, parsedDevid] = [DomId.safeParse(domid), DevId.safeParse(devid)];
  return parsedDomid.success && parsedDevid.success
    ? { domid: parsedDomid.data, devid: parsedDevid.data }
    : undefined;
};
