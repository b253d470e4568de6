// SPDX-License-Identifier: LGPL-2.1-or-later
/** Only on the emulated Xen: 64 domains. */
import assert from 'node:assert/strict';

import { Host } from '../../host/host.js';
import { LightGuests } from '../../lib/light-guest.js';
import { attachAndDetach, warmUp, type ManyFigures } from '../../lib/many.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = 180_000;
const GUESTS = 64;
/** Of them, so many play and record while all are connected. */
const BUSY = 8;
const GROWTH_MAX_KIB = 1024;
/** What 64 are compared with, in the same minute on the same machine; bench/many has the times. */
const FEW = 8;
/** Times what as many groups of a few take one after the other: what grows with the square is far beyond. */
const SLOWNESS_MAX = 3;

describe('end to end: many guests at once', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guests: LightGuests;
  let figures: ManyFigures;
  let fewMs: number;

  before(async () => {
    host = await Host.start();
    guests = new LightGuests(host);
    await growTo(FEW);
    ({ connectMs: fewMs } = await attachAndDetach(host, guests));
    await growTo(GUESTS);
    figures = await attachAndDetach(host, guests, playAndRecord);
  });

  after(async () => {
    await guests.stop();
    await host.stop();
  });

  async function growTo(count: number): Promise<void> {
    while (guests.all.length < count) await guests.create(`light${guests.all.length + 1}`);
    await warmUp(host, guests);
  }

  async function playAndRecord(): Promise<void> {
    const busy = guests.all.slice(0, BUSY);
    for (const guest of busy) {
      guest.order('play');
      guest.order('record');
    }
    for (const { domid } of busy) {
      await stateIs(domid, '0/0', 'playing');
      await stateIs(domid, '0/1', 'recording');
    }
  }

  async function stateIs(domid: number, stream: string, wanted: string): Promise<void> {
    const path = `/local/domain/0/data/xen-audio/${domid}/0/${stream}/state`;
    const isSo = async (): Promise<boolean> => (await host.xen.store.tryRead(path)) === wanted;
    await waitFor(`${path} to be ${wanted}`, isSo, { timeoutMs: 20_000 });
  }

  it('connects 64 of them, each with a stream in both directions', () => {
    assert.deepEqual(figures.modules, [0, 2 * GUESTS, 0]);
    const allowedMs = (SLOWNESS_MAX * fewMs * GUESTS) / FEW;
    assert.ok(figures.connectMs < allowedMs, `${figures.connectMs} ms, ${FEW} guests ${fewMs} ms`);
  });

  it("adds less than 1 MiB a guest to the controller's memory", () => {
    const [before, connected] = figures.controller;
    const growth = ((connected?.rssKib ?? Infinity) - (before?.rssKib ?? 0)) / GUESTS;
    assert.ok(growth < GROWTH_MAX_KIB, `${growth} KiB a guest`);
  });

  it('lets go of everything when they leave', () => {
    assert.deepEqual(figures.after, figures.before);
    assert.deepEqual(
      guests.all.flatMap(({ failures }) => failures),
      [],
    );
  });
});
