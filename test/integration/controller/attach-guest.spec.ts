// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { SystemClock } from '../../../controller/adapters/system/system-clock.js';
import { XenstoreAdapter } from '../../../controller/adapters/xenstore/xenstore-adapter.js';
import { Toolstack } from '../../../controller/toolstack/toolstack.js';
import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';
import { FakeLog } from '../../lib/fake-ports.js';
import type { OwnedProcess } from '../../lib/process.js';
import { waitFor } from '../../lib/wait.js';
import { writeFile } from 'node:fs/promises';

const TEST_MS = 60_000;
/** What taking away a card that plays may take; the limit is 10 s. */
const DETACH_MS = 2000;
const PLAY_SECONDS = 40;

describe('cards attached to a running guest', function () {
  this.timeout(TEST_MS);
  let host: Host;
  let guest: Guest;
  let adapter: XenstoreAdapter;
  let toolstack: Toolstack;
  let player: OwnedProcess | undefined;
  const savedPath = process.env['XENSTORED_PATH'];

  before(async () => {
    host = await Host.start();
    guest = await host.addGuest();
    await host.removeCard(guest);
    process.env['XENSTORED_PATH'] = host.xen.dom0Env['XENSTORED_PATH'];
    const log = new FakeLog();
    adapter = await XenstoreAdapter.open(log, () => undefined);
    toolstack = new Toolstack({ ownDomid: 0, xenstore: adapter, clock: new SystemClock(), log });
  });

  after(async () => {
    await player?.stop();
    await toolstack.close();
    await adapter.close();
    await host.stop();
    if (savedPath === undefined) Reflect.deleteProperty(process.env, 'XENSTORED_PATH');
    else process.env['XENSTORED_PATH'] = savedPath;
  });

  it('play through module-xen-sink, go while they play, and come again', async () => {
    const { domid } = guest.domain;
    const ear = await Ear.open(host, SPEAKERS);
    const file = join(guest.dir, 'noise.pcm');
    await writeFile(file, noise(FORMAT, PLAY_SECONDS));
    try {
      assert.deepEqual(
        await toolstack.attach(await toolstack.findDomain(guest.domain.name), 'modules'),
        [0, 1],
      );
      await guest.loadSink();
      await guest.connected();
      player = guest.client.play('xen', file, FORMAT);
      await ear.hears();

      await guest.client.loadModule('module-xen-source', 'source_name=mic device=1');
      const capture = `/local/domain/0/backend/vsnd/${domid}/1/state`;
      await waitFor('the source to connect', async () => (await host.xen.store.tryRead(capture)) === '4');

      const begin = performance.now();
      await toolstack.detach(domid, 0);
      assert.ok(performance.now() - begin < DETACH_MS);
      await ear.hearsNothing();
      assert.equal(await host.xen.store.tryRead(capture), '4', 'the other card must stay connected');
      await toolstack.detach(domid, 1);
      assert.equal((await host.counts()).domains['dom0']?.mapped, 0);
      assert.equal((await host.counts()).domains['dom0']?.ports, 0);

      assert.deepEqual(await toolstack.attach(domid, 'modules'), [0, 1]);
      await guest.connected();
      await ear.hears();
    } finally {
      await ear.close();
    }
  });
});
