// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { DOM0, GUEST, Playground, type Probe } from './support.js';

describe('what is ordered to fail', () => {
  let playground: Playground;
  let guest: Probe;
  let dom0: Probe;

  beforeEach(async () => {
    playground = await Playground.create();
    guest = await playground.probe(GUEST.key, 'shr', 'evt');
    dom0 = await playground.probe(DOM0, 'tab', 'evt');
  });
  afterEach(async () => {
    await playground.end();
  });

  it('is a mapping, after so many and so often, of one domain alone, and nothing is held of it', async () => {
    const { emulator } = playground;
    const { refs } = await guest.share(0, 1, 'rw');
    const map = `map ${GUEST.domid} rw ${refs.join()}`;
    await emulator.fail(GUEST.key, 'map');
    await emulator.fail(DOM0, 'map', 1, 2);

    await dom0.call(map);
    assert.deepEqual([await dom0.error(map), await dom0.error(map)], ['ENOMEM', 'ENOMEM']);
    assert.equal(await emulator.faultsLeft(DOM0), 0);
    await dom0.call(map);

    assert.equal((await playground.countsOf(DOM0)).mapped, 2);
    assert.equal(await emulator.faultsLeft(GUEST.key), 1);
  });

  it('is a grant, a binding, a write to xenstore', async () => {
    const { emulator } = playground;
    for (const fault of ['share', 'bind', 'write'] as const) await emulator.fail(GUEST.key, fault);
    const store = await emulator.openXenstore(GUEST.key);
    try {
      assert.equal(await guest.error('share 0 1 rw'), 'ENOMEM');
      assert.equal(await guest.error('bind-unbound 0'), 'ENOMEM');
      await assert.rejects(store.write('data/x', '1'), /ENOSPC/);

      await guest.share(0, 1, 'rw');
      await guest.number('bind-unbound 0');
      await store.write('data/x', '1');
    } finally {
      store.close();
    }
  });

  it('is called off', async () => {
    const { emulator } = playground;
    await emulator.fail(GUEST.key, 'share');
    await emulator.fail(GUEST.key, 'share', 0, 0);
    await guest.share(0, 1, 'rw');
  });

  for (const [way, sender, receiver] of [
    ['to', 'dom0', 'guest'],
    ['from', 'guest', 'dom0'],
  ] as const) {
    it(`is the next event ${way} a domain`, async () => {
      const port: Record<string, number> = { guest: await guest.number('bind-unbound 0') };
      port['dom0'] = await dom0.number(`bind-interdomain ${GUEST.domid} ${port['guest']}`);
      assert.equal(await dom0.number('pending 1000'), port['dom0']);
      await dom0.call(`unmask ${port['dom0']}`);
      const probes = { guest, dom0 };

      await playground.emulator.loseEvents(GUEST.key, way);
      await probes[sender].call(`notify ${port[sender]}`);
      assert.equal(await probes[receiver].number('pending 0'), 0);
      await probes[sender].call(`notify ${port[sender]}`);
      assert.equal(await probes[receiver].number('pending 1000'), port[receiver]);
    });
  }
});
