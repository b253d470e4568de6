// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: a guest's own connection to xenstore, with octets that no command line can carry. */
import assert from 'node:assert/strict';

import { EmulatedXen } from '../../host/emulated/emulated-xen.js';
import { frontendPath } from '../../host/guest.js';
import { logFrom, TwoGuests } from '../../lib/e2e-lifecycle.js';
import { waitFor } from '../../lib/wait.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';

const TEST_MS = 60_000;

/** As much as one message to xenstore takes, its path included. */
const GARBAGE = '\u0001\u001b[2J\n\u202e'.repeat(400);

/** What a guest writes below its card, and what xen-audiod must say of it. */
const malformedNodes: readonly { node: string; value: string | undefined; expected: RegExp }[] = [
  { node: '0/0/ring-ref', value: 'abc', expected: /0\/0\/ring-ref: found "abc", expected grant reference/ },
  { node: '0/0/ring-ref', value: '', expected: /0\/0\/ring-ref: found "", expected grant reference/ },
  { node: '0/0/ring-ref', value: '-8', expected: /0\/0\/ring-ref: found "-8", expected grant reference/ },
  {
    node: '0/0/event-channel',
    value: '99999999999',
    expected: /0\/0\/event-channel: found "99999999999", expected event channel port/,
  },
  {
    node: '0/0/evt-ring-ref',
    value: undefined,
    expected: /0\/0\/evt-ring-ref: found nothing, expected a number/,
  },
  {
    node: '0/0/evt-ring-ref',
    value: '8',
    expected: /0\/0\/evt-ring-ref: found "8", expected another page than ring-ref/,
  },
  { node: '0/0/unique-id', value: GARBAGE, expected: /./ },
  {
    node: '0/0/channels-max',
    value: GARBAGE,
    expected: /0\/0\/channels-max: found ".*…", expected channels: a decimal/,
  },
  { node: 'sample-rates', value: 'x', expected: /vsnd\/0\/sample-rates: found "x", expected sample rates/ },
  {
    node: 'sample-rates',
    value: '44100,'.repeat(600),
    expected: /vsnd\/0\/sample-rates: found "44100,.*…", expected/,
  },
  {
    node: '0/sample-formats',
    value: 's17_le',
    expected: /0\/sample-formats: found "s17_le", expected sample formats/,
  },
  { node: 'version', value: '3', expected: /vsnd\/0\/version: found "3", expected version/ },
  {
    node: '0/0/type',
    value: '\u0000\u001b[2J',
    expected: /0\/0\/type: found .*, expected p \(playback\) or c/,
  },
  {
    node: '7/0/type',
    value: 'p',
    expected: /vsnd\/0\/1: found nothing, expected a directory: indices are contiguous/,
  },
  { node: '0/0/ring-ref', value: '4294967295', expected: /mapping the request ring \(ring-ref\) failed/ },
  { node: '0/0/event-channel', value: '131071', expected: /./ },
];

describe('end to end: nodes of a guest that make no sense', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let store: XenstoreClient;
  let card: string;

  before(async () => {
    stage = await TwoGuests.start({ xen: 'emulated' });
    card = frontendPath(stage.subject.domain.domid, 0);
    const { xen } = stage.host;
    assert.ok(xen instanceof EmulatedXen);
    store = await xen.control.openXenstore(stage.subject.domain.key);
  });

  after(async () => {
    store.close();
    await stage.stop();
  });

  /** What a frontend publishes; the rings are none, which is found out last. */
  async function publish(node: string, value: string | undefined): Promise<void> {
    const nodes = new Map<string, string | undefined>([
      ['version', '2'],
      ['0/0/ring-ref', '8'],
      ['0/0/event-channel', '1'],
      ['0/0/evt-ring-ref', '9'],
      ['0/0/evt-event-channel', '2'],
      [node, value],
    ]);
    for (const [name, text] of nodes) {
      if (text !== undefined) await store.write(`${card}/${name}`, text);
    }
    await store.write(`${card}/state`, '3');
  }

  /** A new card, as the toolstack makes it, with nothing of the guest's in it. */
  async function plugAnew(): Promise<void> {
    await stage.host.changeCard(stage.subject);
  }

  it('are refused with their path and the reason, and nobody else notices', async () => {
    await stage.undisturbed(async () => {
      for (const { node, value, expected } of malformedNodes) {
        const log = logFrom(stage.host.controller.logFile);
        const pulseLog = logFrom(stage.host.pulse.logFile);
        await publish(node, value);
        await waitFor(
          `xen-audiod to refuse ${node} = ${String(value).slice(0, 20)}`,
          () => log().includes('subject/0: refused: ') && expected.test(log()),
          { detail: () => log() + pulseLog() },
        );
        assert.doesNotMatch(log(), /[^\n -~…]/, 'nothing of the guest changes the look of the log');
        await plugAnew();
      }
    });
    assert.equal(stage.host.controller.running, true);
  });
});
