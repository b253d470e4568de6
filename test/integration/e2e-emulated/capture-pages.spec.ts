// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: there every page that a guest can grant is in one file. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { EmulatedXen } from '../../host/emulated/emulated-xen.js';
import type { Guest } from '../../host/guest.js';
import { Host, MIC_FEED } from '../../host/host.js';
import { captureIs, speak } from '../../lib/e2e-capture.js';
import { Ear, FORMAT, FRAME_BYTES } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';

const NOISE_SECONDS = 20;
const PAGE_BYTES = 4096;

describe("end to end: what is in a guest's pages", function () {
  this.timeout(120_000);
  let host: Host;
  let guest: Guest;

  before(async () => {
    host = await Host.start({ xen: 'emulated' });
    guest = await host.addGuest();
    await guest.loadSource();
    await guest.connected();
  });

  after(async () => {
    await host.stop();
  });

  /** Speaks while the guest records. @returns how many places in grantable pages hold what was spoken meanwhile */
  async function spokenInPages(seed: number, meanwhile: () => Promise<void>): Promise<number> {
    const pcm = noise(FORMAT, NOISE_SECONDS, seed);
    const here = await Ear.open(host, MIC_FEED);
    const voice = await speak(host, pcm, FORMAT);
    const ear = await Ear.inGuest(host, guest);
    try {
      await here.hears(1);
      await meanwhile();
      await ear.goesOn(1);
      return placesOf(pcm, pagesOf(host));
    } finally {
      await Promise.all([ear.close(), here.close(), voice.stop()]);
    }
  }

  it('is nothing of a microphone while it may not record, although it asks to', async () => {
    const found = await spokenInPages(1, () => captureIs(host, guest, { requested: '1', active: '0' }));

    assert.equal(found, 0);
  });

  it('is the microphone when it may, which shows that it would have been found', async () => {
    await host.allowCapture(guest);

    const found = await spokenInPages(2, () => captureIs(host, guest, { requested: '1', active: '1' }));

    assert.ok(found > 0);
  });

  it('is nothing that was spoken after leave was taken', async () => {
    await host.denyCapture(guest);

    const found = await spokenInPages(3, () => captureIs(host, guest, { requested: '1', active: '0' }));

    assert.equal(found, 0);
  });
});

/** Every page that any domain has granted and that is not empty; the file is large, and sparse. */
function pagesOf({ xen }: Host): Buffer[] {
  assert.ok(xen instanceof EmulatedXen);
  const memory = readFileSync(join(xen.control.directory, 'memory'));
  const empty = Buffer.alloc(PAGE_BYTES);
  const pages: Buffer[] = [];
  for (let at = 0; at < memory.length; at += PAGE_BYTES) {
    const page = memory.subarray(at, at + PAGE_BYTES);
    if (!page.equals(empty)) pages.push(page);
  }
  return pages;
}

/** Frames in the pages behind which the signal's next one stands. */
function placesOf(pcm: Buffer, pages: readonly Buffer[]): number {
  const spoken = framesOf(pcm);
  const followers = new Map<number, number[]>();
  spoken.forEach((frame, at) => {
    const known = followers.get(frame);
    if (known === undefined) followers.set(frame, [spoken[at + 1] ?? 0]);
    else known.push(spoken[at + 1] ?? 0);
  });
  let places = 0;
  for (const page of pages) {
    const found = framesOf(page);
    for (let at = 0; at + 1 < found.length; at += 1) {
      if (followers.get(found[at] ?? 0)?.includes(found[at + 1] ?? 0) === true) places += 1;
    }
  }
  return places;
}

/** A number for each frame. */
function framesOf(octets: Buffer): Uint32Array {
  const copy = new Uint8Array(octets); // at an address that numbers can be read from
  return new Uint32Array(copy.buffer, 0, Math.floor(copy.length / FRAME_BYTES));
}
