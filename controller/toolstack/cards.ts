// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CardLayout } from '../api/audio-api.js';
import type { NodePermissions } from '../device/ports.js';
import { backendPath, backendRoot, frontendPath, guestPath, type DeviceId } from '../xenbus/paths.js';

/** Values of nodes, by their path inside a directory. */
export type Nodes = Readonly<Record<string, string>>;

/** A directory of a card. */
export interface CardDirectory {
  readonly path: string;
  /** Undefined: those of the directory it is made in. */
  readonly permissions: NodePermissions | undefined;
  readonly nodes: Nodes;
}

/** A card to be made. */
export interface CardPlan {
  readonly id: DeviceId;
  readonly directories: readonly CardDirectory[];
}

/** libxl's own directory of a domain: nobody but dom0 reads or writes there, and it goes with the domain. */
export const libxlDomainPath = (domid: number): string => `/libxl/${domid}`;

/** Where libxl keeps a domain's cards: what `xl vsnd-list` reads. */
export const libxlRoot = (domid: number): string => `${libxlDomainPath(domid)}/device/vsnd`;

export const libxlPath = (id: DeviceId): string => `${libxlRoot(id.domid)}/${id.devid}`;

/** Where all frontends of a domain lie. */
const frontendRoot = (domid: number): string => `${guestPath(domid)}/device/vsnd`;

/** What any card of ours is called in the guest, as `short-name=` of xl.cfg. */
const NAME: Nodes = { 'short-name': 'Xen' };
const PLAYBACK: Nodes = { 'unique-id': 'out', type: 'p' };
const CAPTURE: Nodes = { 'unique-id': 'in', type: 'c' };

/**
 * What the driver takes for granted where a card says nothing is less than a sound card has: only `u8` and `s16_le`, up
 * to 48 kHz. It knows no other rates than ALSA's fixed ones, wants the list without blanks, and takes a buffer out of
 * one piece of memory, so that must stay small. No floating point: libxl has other names for that than sndif, and
 * `xl vsnd-list` stops at a name it does not know.
 */
const KERNEL_LIMITS: Nodes = {
  'sample-rates': '8000,16000,32000,44100,48000,96000',
  'sample-formats': 's16_le,s24_le,s32_le',
  'channels-min': '1',
  'channels-max': '2',
  'buffer-size': '65536',
};

const stream = (index: number, nodes: Nodes): Nodes =>
  Object.fromEntries(Object.entries(nodes).map(([name, value]) => [`0/${index}/${name}`, value]));

/**
 * The cards of a layout, from devid 0 up. Our modules get one for each direction, because the streams of a card come and
 * go together: a source that is loaded would interrupt what a sink on the same card plays. They agree with the backend
 * about everything else, so nothing is limited. The kernel's driver keeps all streams of its card for good.
 */
const LAYOUTS: Readonly<Record<CardLayout, readonly Nodes[]>> = {
  modules: [
    { ...NAME, '0/name': 'Playback', ...stream(0, PLAYBACK) },
    { ...NAME, '0/name': 'Capture', ...stream(0, CAPTURE) },
  ],
  kernel: [{ ...NAME, ...KERNEL_LIMITS, '0/name': 'Main', ...stream(0, PLAYBACK), ...stream(1, CAPTURE) }],
};

/** What libxl writes for the cards of a layout, from `ownDomid` as their backend. */
export const planCards = (layout: CardLayout, domid: number, ownDomid: number): CardPlan[] =>
  LAYOUTS[layout].map((card, devid) => {
    const id = { domid, devid };
    return { id, directories: directoriesOf(id, ownDomid, card) };
  });

const directoriesOf = (id: DeviceId, ownDomid: number, card: Nodes): CardDirectory[] => {
  const [frontend, backend] = [frontendPath(id), backendPath(ownDomid, id)];
  const forBackend = { 'frontend-id': String(id.domid), online: '1', state: '1' };
  return [
    { path: libxlPath(id), permissions: undefined, nodes: { frontend, backend, ...forBackend } },
    {
      path: frontend,
      permissions: { ownerDomid: id.domid, readerDomids: [ownDomid] },
      nodes: { backend, 'backend-id': String(ownDomid), state: '1', ...card },
    },
    {
      path: backend,
      permissions: { ownerDomid: ownDomid, readerDomids: [id.domid] },
      nodes: { frontend, ...forBackend },
    },
  ];
};

/** The directories of a card, and those above which go with the last card in them: innermost first. */
export const cardPaths = (
  id: DeviceId,
  ownDomid: number,
): { readonly own: readonly string[]; readonly above: readonly string[] } => {
  const root = backendRoot(ownDomid);
  return {
    own: [frontendPath(id), libxlPath(id), backendPath(ownDomid, id)],
    above: [frontendRoot(id.domid), libxlRoot(id.domid), `${root}/${id.domid}`, root],
  };
};
