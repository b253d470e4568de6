// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { cardPaths, planCards } from '../../../../controller/toolstack/cards.js';
import { SampleFormatList, SampleRateList } from '../../../../schemas/primitives.js';

/** Rates that snd_xen_front takes from a card, which are those of ALSA's constants. */
const DRIVER_RATES = [
  5512, 8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 64_000, 96_000, 176_400, 192_000,
];

describe('the cards of a layout', () => {
  const frontendOf = (layout: 'modules' | 'kernel', card: number): Readonly<Record<string, string>> =>
    planCards(layout, 7, 0)[card]?.directories[1]?.nodes ?? {};

  it('are one for each direction, without limits, for our modules', () => {
    const cards = planCards('modules', 7, 0);

    assert.deepEqual(
      cards.map(({ id }) => id),
      [
        { domid: 7, devid: 0 },
        { domid: 7, devid: 1 },
      ],
    );
    const base = { 'backend-id': '0', state: '1', 'short-name': 'Xen' };
    assert.deepEqual(frontendOf('modules', 0), {
      ...base,
      backend: '/local/domain/0/backend/vsnd/7/0',
      '0/name': 'Playback',
      '0/0/unique-id': 'out',
      '0/0/type': 'p',
    });
    assert.deepEqual(frontendOf('modules', 1), {
      ...base,
      backend: '/local/domain/0/backend/vsnd/7/1',
      '0/name': 'Capture',
      '0/0/unique-id': 'in',
      '0/0/type': 'c',
    });
  });

  it("are one with both directions for the kernel's driver, within what it and libxl know", () => {
    const nodes = frontendOf('kernel', 0);

    assert.equal(planCards('kernel', 7, 0).length, 1);
    assert.deepEqual([nodes['0/0/type'], nodes['0/1/type']], ['p', 'c']);
    const rates = SampleRateList.parse(nodes['sample-rates'] ?? '');
    assert.deepEqual(
      rates.filter((rate) => !DRIVER_RATES.includes(rate)),
      [],
    );
    const formats = SampleFormatList.parse(nodes['sample-formats'] ?? '');
    assert.ok(formats.includes('s16_le') && !formats.some((format) => format.startsWith('float')));
    assert.equal(nodes['buffer-size'], '65536');
  });

  it("give each directory to whom it belongs, and libxl's to nobody", () => {
    const directories = planCards('kernel', 7, 3)[0]?.directories ?? [];

    assert.deepEqual(
      directories.map(({ path, permissions }) => [path, permissions]),
      [
        ['/libxl/7/device/vsnd/0', undefined],
        ['/local/domain/7/device/vsnd/0', { ownerDomid: 7, readerDomids: [3] }],
        ['/local/domain/3/backend/vsnd/7/0', { ownerDomid: 3, readerDomids: [7] }],
      ],
    );
    assert.deepEqual(directories[2]?.nodes, {
      frontend: '/local/domain/7/device/vsnd/0',
      'frontend-id': '7',
      online: '1',
      state: '1',
    });
    assert.deepEqual(directories[0]?.nodes, {
      ...directories[2].nodes,
      backend: '/local/domain/3/backend/vsnd/7/0',
    });
  });

  it('go with the directories above them, which are never those of the domain', () => {
    assert.deepEqual(cardPaths({ domid: 7, devid: 1 }, 0), {
      own: ['/local/domain/7/device/vsnd/1', '/libxl/7/device/vsnd/1', '/local/domain/0/backend/vsnd/7/1'],
      above: [
        '/local/domain/7/device/vsnd',
        '/libxl/7/device/vsnd',
        '/local/domain/0/backend/vsnd/7',
        '/local/domain/0/backend/vsnd',
      ],
    });
  });
});
