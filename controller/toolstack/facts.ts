// SPDX-License-Identifier: LGPL-2.1-or-later
import type { XenstorePort, XenstoreReader } from '../device/ports.js';
import { guestPath } from '../xenbus/paths.js';
import { libxlDomainPath } from './cards.js';
import type { DomainFacts } from './decision.js';
import { readCards } from './domains.js';

/** As libxl makes the state of a frontend; only the guest writes it afterwards. */
const INITIALISING = '1';

/** Says that a domain has had a card. In libxl's directory, so that it goes with the domain and no guest sees it. */
const markPath = (domid: number): string => `${libxlDomainPath(domid)}/xen-audio-attached`;

/** Reads what `shouldAttach` asks. Throws XenAudioError of the port. */
export const readFacts = async (
  reader: XenstoreReader,
  ownDomid: number,
  domid: number,
): Promise<DomainFacts> => ({
  runs: await hasGuestWritten(reader, domid),
  isStubdomain: (await reader.read(`${guestPath(domid)}/target`)) !== undefined,
  hasCard: (await readCards(reader, ownDomid, domid)).length > 0,
  hadCard: (await reader.read(markPath(domid))) !== undefined,
});

/** Keeps in mind, over restarts of the daemon, that a domain has a card: who takes it away means it. */
export const markAttached = async (xenstore: XenstorePort, domid: number): Promise<void> => {
  await xenstore.transaction(async (transaction) => {
    const isThere = (await transaction.read(libxlDomainPath(domid))) !== undefined;
    if (isThere) await transaction.write(markPath(domid), '1');
  });
};

/**
 * Whether the guest runs. xenstore does not say when a toolstack has finished, but nothing of the guest's runs before:
 * its kernel announces how it can be shut down in nodes that libxl makes empty, and moves its frontends on from state 1.
 */
const hasGuestWritten = async (reader: XenstoreReader, domid: number): Promise<boolean> => {
  const control = `${guestPath(domid)}/control`;
  for (const name of (await reader.list(control)) ?? []) {
    if (!name.startsWith('feature-')) continue;
    const value = await reader.read(`${control}/${name}`);
    if (value !== undefined && value !== '') return true;
  }
  const devices = `${guestPath(domid)}/device`;
  for (const kind of (await reader.list(devices)) ?? []) {
    for (const devid of (await reader.list(`${devices}/${kind}`)) ?? []) {
      const state = await reader.read(`${devices}/${kind}/${devid}/state`);
      if (state !== undefined && state !== INITIALISING) return true;
    }
  }
  return false;
};
