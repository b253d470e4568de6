// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { waitFor } from '../../lib/wait.js';
import { DOM0, GUEST, OTHER, Playground, type Probe } from './support.js';

describe('stand-in for libxengnttab', () => {
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

  const peek = (probe: Probe, region: number, offset: number): Promise<number> =>
    probe.number(`peek ${region} ${offset}`);

  it('shares zeroed pages that the peer sees and writes', async () => {
    const { region, refs } = await guest.share(0, 3, 'rw');
    assert.deepEqual(refs, [8, 9, 10]);
    assert.equal(await peek(guest, region, 3 * 4096 - 1), 0);

    const mapped = await dom0.number(`map ${GUEST.domid} rw ${refs.join(' ')}`);
    await guest.call(`poke ${region} 5000 77`);
    await dom0.call(`poke ${mapped} 12000 88`);

    assert.equal(await peek(dom0, mapped, 5000), 77);
    assert.equal(await peek(guest, region, 12000), 88);
  });

  it('maps references in the order asked for', async () => {
    const { region, refs } = await guest.share(0, 3, 'ro');
    for (const page of [0, 1, 2]) await guest.call(`poke ${region} ${page * 4096} ${page + 1}`);

    const mapped = await dom0.number(`map ${GUEST.domid} ro ${[...refs].reverse().join(' ')}`);

    assert.deepEqual(
      [await peek(dom0, mapped, 0), await peek(dom0, mapped, 4096), await peek(dom0, mapped, 8192)],
      [3, 2, 1],
    );
  });

  it('refuses what has not been granted', async () => {
    const other = await playground.probe(OTHER.key, 'tab');
    const { refs } = await guest.share(0, 1, 'ro');
    const ref = refs.join();

    assert.equal(await dom0.error(`map ${GUEST.domid} ro 99`), 'EINVAL', 'no such reference');
    assert.equal(await dom0.error(`map 77 ro ${ref}`), 'EINVAL', 'no such domain');
    assert.equal(await dom0.error(`map ${GUEST.domid} rw ${ref}`), 'EINVAL', 'granted read-only');
    assert.equal(await other.error(`map ${GUEST.domid} ro ${ref}`), 'EINVAL', 'granted to another domain');
    assert.equal(await dom0.error(`map ${GUEST.domid} ro ${ref} 99`), 'EINVAL', 'one of two is wrong');
    assert.deepEqual((await playground.countsOf(DOM0)).mapped, 0);
  });

  it('keeps a page that is mapped after its grant has ended, and gives it to nobody else', async () => {
    const { region, refs } = await guest.share(0, 1, 'rw');
    const ref = refs.join();
    const mapped = await dom0.number(`map ${GUEST.domid} rw ${ref}`);

    await guest.call(`unshare ${region}`);
    assert.equal(await dom0.error(`map ${GUEST.domid} rw ${ref}`), 'EINVAL');
    const next = await guest.share(0, 1, 'rw');
    await dom0.call(`poke ${mapped} 0 55`);

    assert.notDeepEqual(next.refs, refs);
    assert.equal(await peek(guest, next.region, 0), 0);
    await guest.call(`unshare ${next.region}`);
    await dom0.call(`unmap ${mapped}`);
    await playground.nothingLeft();
  });

  it('clears pages that are used again', async () => {
    const first = await guest.share(0, 1, 'rw');
    await guest.call(`poke ${first.region} 100 1`);
    await guest.call(`unshare ${first.region}`);

    const second = await guest.share(0, 1, 'rw');

    assert.deepEqual(second.refs, first.refs);
    assert.equal(await peek(guest, second.region, 100), 0);
  });

  it('maps a domain its own grant', async () => {
    await guest.call('open tab');
    const { region, refs } = await guest.share(GUEST.domid, 1, 'rw');
    const mapped = await guest.number(`map ${GUEST.domid} rw ${refs.join()}`);
    await guest.call(`poke ${region} 1 9`);
    assert.equal(await peek(guest, mapped, 1), 9);
  });

  it('grants 1024 pages a domain and no more, like gntalloc', async () => {
    const { region, refs } = await guest.share(0, 1024, 'rw');
    assert.equal(refs.length, 1024);
    assert.equal(await guest.error('share 0 1 rw'), 'ENOSPC');
    await guest.call(`unshare ${region}`);
    await guest.share(0, 1, 'rw');
  });

  it('clears the alive octet and notifies when the page is unshared', async () => {
    const port = await guest.number('bind-unbound 0');
    const dom0Port = await dom0.number(`bind-interdomain ${GUEST.domid} ${port}`);
    await dom0.call('pending 1000');
    await dom0.call(`unmask ${dom0Port}`);
    const [region, ref] = await guest.call(`share-notify 0 20 ${port}`);
    await guest.call(`poke ${region ?? 0} 20 1`);
    const mapped = await dom0.number(`map ${GUEST.domid} rw ${ref ?? 0}`);
    assert.equal(await peek(dom0, mapped, 20), 1);

    await guest.call(`unshare ${region ?? 0}`);

    assert.equal(await peek(dom0, mapped, 20), 0);
    assert.equal(await dom0.number('pending 1000'), dom0Port);
  });

  it('clears the alive octet and notifies when the process is killed', async () => {
    const port = await guest.number('bind-unbound 0');
    const dom0Port = await dom0.number(`bind-interdomain ${GUEST.domid} ${port}`);
    await dom0.call('pending 1000');
    await dom0.call(`unmask ${dom0Port}`);
    const [region, ref] = await guest.call(`share-notify 0 4095 ${port}`);
    await guest.call(`poke ${region ?? 0} 4095 1`);
    const mapped = await dom0.number(`map ${GUEST.domid} ro ${ref ?? 0}`);

    await guest.process.kill();

    assert.equal(await dom0.number('pending 2000'), dom0Port);
    assert.equal(await peek(dom0, mapped, 4095), 0);
  });

  it('tells the granter when its peer unmaps or dies', async () => {
    const { region, refs } = await guest.share(0, 1, 'rw');
    await guest.call(`poke ${region} 7 1`);
    const none = 0xffffffff;
    const mapped = await dom0.number(`map-notify ${GUEST.domid} ${refs.join()} 7 ${none}`);
    await dom0.call(`unmap ${mapped}`);
    assert.equal(await peek(guest, region, 7), 0);

    await guest.call(`poke ${region} 7 1`);
    await dom0.number(`map-notify ${GUEST.domid} ${refs.join()} 7 ${none}`);
    await dom0.process.kill();
    await waitFor('the octet to be cleared', async () => (await peek(guest, region, 7)) === 0);
  });

  it('frees everything of a killed process', async () => {
    const { refs } = await guest.share(0, 16, 'rw');
    await dom0.call(`map ${GUEST.domid} rw ${refs.join(' ')}`);
    await guest.call('bind-unbound 0');
    const before = await playground.emulator.counts();
    assert.deepEqual([before.domains[GUEST.key]?.grants, before.domains[DOM0]?.mapped], [16, 16]);

    await guest.process.kill();
    await waitFor('the ports to go', async () => (await playground.countsOf(GUEST.key)).ports === 0);
    assert.equal((await playground.countsOf(GUEST.key)).grants, 16, 'still mapped, so still there');
    await dom0.process.kill();

    await playground.nothingLeft();
  });

  it('unmaps and unshares what a closed handle had', async () => {
    const { refs } = await guest.share(0, 2, 'rw');
    await dom0.call(`map ${GUEST.domid} rw ${refs.join(' ')}`);

    await dom0.call('close tab');
    await guest.call('close shr');

    assert.equal((await playground.countsOf(DOM0)).mapped, 0);
    assert.equal((await playground.countsOf(GUEST.key)).grants, 0);
  });

  it('lets a peer look at mapped pages of a destroyed domain, but map nothing more', async () => {
    const { region, refs } = await guest.share(0, 1, 'rw');
    await guest.call(`poke ${region} 3 33`);
    const mapped = await dom0.number(`map ${GUEST.domid} rw ${refs.join()}`);

    await playground.emulator.destroyDomain(GUEST.key);

    assert.equal(await peek(dom0, mapped, 3), 33);
    assert.equal(await dom0.error(`map ${GUEST.domid} rw ${refs.join()}`), 'EINVAL');
    assert.equal(await guest.error('share 0 1 rw'), 'ENODEV');
    await dom0.call(`unmap ${mapped}`);
    await playground.nothingLeft();
  });

  it('forgets references on a resume, and takes the old pages back when told', async () => {
    const { region, refs } = await guest.share(0, 1, 'rw');
    await playground.emulator.changeDomid(GUEST.key, 9);

    assert.equal(await dom0.error(`map ${GUEST.domid} rw ${refs.join()}`), 'EINVAL');
    assert.equal(await dom0.error(`map 9 rw ${refs.join()}`), 'EINVAL');
    await guest.call(`unshare ${region}`);
    const again = await guest.share(0, 1, 'rw');
    await dom0.call(`map 9 rw ${again.refs.join()}`);
  });
});
