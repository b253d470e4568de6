// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { ApiError, type ApiErrorCode } from '../../../../controller/api/audio-api.js';
import { planCards } from '../../../../controller/toolstack/cards.js';
import { Toolstack } from '../../../../controller/toolstack/toolstack.js';
import { XenAudioError } from '../../../../controller/util/errors.js';
import { FakeClock, FakeLog, FakeXenstore, settle } from '../../../lib/fake-ports.js';

const LIMIT_MS = 10_000;
const back = (devid: number): string => `/local/domain/0/backend/vsnd/7/${devid}`;

describe('the toolstack', () => {
  let xenstore: FakeXenstore;
  let clock: FakeClock;
  let log: FakeLog;
  let toolstack: Toolstack;
  /** What there is without a card. */
  let bare: [string, string][];

  beforeEach(() => {
    [xenstore, clock, log] = [new FakeXenstore(), new FakeClock(), new FakeLog()];
    xenstore.introduced.add(7);
    for (const path of ['/local/domain/7', '/local/domain/7/device', '/libxl/7', '/libxl/7/device']) {
      xenstore.put(path, '');
    }
    xenstore.put('/local/domain/7/name', 'music');
    bare = nodes();
    toolstack = new Toolstack({ ownDomid: 0, xenstore, clock, log });
  });

  const nodes = (): [string, string][] => [...xenstore.nodes].sort();

  const fails = async (work: Promise<unknown>, code: ApiErrorCode, message: RegExp): Promise<void> => {
    await assert.rejects(work, (error) => {
      assert.ok(error instanceof ApiError, String(error));
      assert.deepEqual([error.code, message.test(error.message)], [code, true], error.message);
      return true;
    });
    assert.deepEqual([xenstore.watches.size, clock.pending], [0, 0], 'watches and timers');
  };

  /** What `attach` makes, with its backend's answers. */
  const attached = async (layout: 'modules' | 'kernel' = 'modules'): Promise<number[]> => {
    const attaching = toolstack.attach(7, layout);
    await settle();
    for (const { id } of planCards(layout, 7, 0)) xenstore.put(`${back(id.devid)}/state`, '2');
    return await attaching;
  };

  describe('attaching', () => {
    it('makes the cards at once, and is done when the backend has answered for each', async () => {
      let devids: number[] | undefined;
      const attaching = toolstack.attach(7, 'modules').then((made) => (devids = made));
      await settle();
      for (const { path, permissions, nodes: made } of planCards('modules', 7, 0).flatMap(
        ({ directories }) => directories,
      )) {
        for (const [name, value] of Object.entries(made)) {
          assert.equal(xenstore.nodes.get(`${path}/${name}`), value, `${path}/${name}`);
        }
        assert.deepEqual(xenstore.permissions.get(path), permissions, path);
      }

      xenstore.put(`${back(0)}/state`, '2');
      await settle();
      assert.equal(devids, undefined);
      xenstore.put(`${back(1)}/state`, '2');
      await attaching;

      assert.deepEqual(devids, [0, 1]);
      assert.deepEqual([xenstore.watches.size, clock.pending], [0, 0]);
      assert.deepEqual(log.matching(/attached card 0, 1 \(modules\)/).length, 1);
    });

    it('is done when a quick guest has taken the backend past state 2', async () => {
      const attaching = toolstack.attach(7, 'kernel');
      await settle();
      xenstore.put(`${back(0)}/state`, '4');

      assert.deepEqual(await attaching, [0]);
    });

    it('is refused to a guest that has a card, of whichever backend', async () => {
      xenstore.putAll('/libxl/7/device/vsnd/3', { backend: '/local/domain/2/backend/vsnd/7/3' });
      const before = nodes();

      await fails(toolstack.attach(7, 'modules'), 'AlreadyAttached', /domain 7 has card "3"/);
      assert.deepEqual(nodes(), before);
    });

    it('is refused the second of two at the same time', async () => {
      const first = attached();
      const second = await Promise.allSettled([toolstack.attach(7, 'kernel')]);

      assert.match(String(second[0].status === 'rejected' && second[0].reason), /card "0", "1"/);
      assert.deepEqual(await first, [0, 1]);
    });

    it("is refused where no domain runs, and where it is not libxl's", async () => {
      await fails(toolstack.attach(8, 'modules'), 'NoSuchGuest', /domain 8/);
      xenstore.introduced.add(8);
      await fails(toolstack.attach(8, 'modules'), 'NoSuchGuest', /domain 8/);
      xenstore.put('/local/domain/8', '');
      await fails(toolstack.attach(8, 'modules'), 'Failed', /not made by libxl/);

      xenstore.drop('/local/domain/8');
      assert.deepEqual(nodes(), bare);
    });

    it('takes all cards back when nobody answers for one within 10 s', async () => {
      const attaching = fails(
        toolstack.attach(7, 'modules'),
        'Timeout',
        /answered for card 1 .* within 10 s/,
      );
      await settle();
      xenstore.put(`${back(0)}/state`, '2');
      await clock.advance(LIMIT_MS - 1);
      assert.ok(xenstore.nodes.has(`${back(0)}/state`));
      await clock.advance(1);
      await attaching;

      assert.deepEqual(nodes(), bare);
    });

    it('takes them back when the guest dies meanwhile', async () => {
      const attaching = fails(toolstack.attach(7, 'modules'), 'NoSuchGuest', /runs no more/);
      await settle();
      xenstore.introduced.delete(7);
      xenstore.fire('@releaseDomain');
      await attaching;

      assert.deepEqual(nodes(), bare);
    });

    it('leaves to another toolstack what that takes away meanwhile', async () => {
      const attaching = fails(toolstack.attach(7, 'kernel'), 'Failed', /taken away by someone else/);
      await settle();
      xenstore.putAll(back(0), { online: '0', state: '5' });
      await attaching;

      assert.equal(xenstore.nodes.get(`${back(0)}/state`), '5');
    });

    it('leaves nothing when xenstore refuses a node', async () => {
      const refused = new XenAudioError('xenstore', 'xenstore write …/type: EACCES');
      xenstore.failWrite = (path) => (path.endsWith('/type') ? refused : undefined);

      await fails(toolstack.attach(7, 'modules'), 'Failed', /EACCES/);
      assert.deepEqual(nodes(), bare);
    });

    it('says when xenstore is down', async () => {
      xenstore.failWrite = () => new XenAudioError('xenstore-lost', 'xenstore: the connection is broken');

      await fails(toolstack.attach(7, 'modules'), 'XenstoreDown', /broken/);
    });

    it('says in the log what it could not take back', async () => {
      const attaching = fails(toolstack.attach(7, 'kernel'), 'Timeout', /card 0/);
      await settle();
      xenstore.failWrite = () => new XenAudioError('xenstore', 'EIO');
      await clock.advance(LIMIT_MS);
      await attaching;

      assert.equal(log.matching(/warning .*left behind.*\/libxl\/7\/device\/vsnd\/0: EIO/).length, 1);
    });
  });

  describe('detaching', () => {
    beforeEach(async () => {
      await attached();
    });

    it('asks the backend to close, and removes the card when it has', async () => {
      const detaching = toolstack.detach(7, 0);
      await settle();
      assert.deepEqual(
        [xenstore.nodes.get(`${back(0)}/online`), xenstore.nodes.get(`${back(0)}/state`)],
        ['0', '5'],
      );
      xenstore.put(`${back(0)}/state`, '6');
      await detaching;

      assert.deepEqual(
        nodes().filter(([path]) => path.includes('vsnd/0') || path.includes('vsnd/7/0')),
        [],
      );
      assert.equal(xenstore.nodes.get(`${back(1)}/state`), '2');
      assert.deepEqual([xenstore.watches.size, clock.pending], [0, 0]);
    });

    it('leaves nothing after the last card', async () => {
      for (const devid of [0, 1]) {
        const detaching = toolstack.detach(7, devid);
        await settle();
        xenstore.put(`${back(devid)}/state`, '6');
        await detaching;
      }

      assert.deepEqual(nodes(), bare);
    });

    it('removes by force a card that is not let go within 10 s, and says so', async () => {
      const detaching = fails(toolstack.detach(7, 0), 'Timeout', /not let go within 10 s.*removed by force/);
      await clock.advance(LIMIT_MS);
      await detaching;

      assert.ok(!xenstore.nodes.has(`${back(0)}/state`));
      assert.ok(!xenstore.nodes.has('/libxl/7/device/vsnd/0/backend'));
    });

    it('does not wait for a backend that is closed or gone', async () => {
      xenstore.put(`${back(0)}/state`, '6');
      await toolstack.detach(7, 0);
      xenstore.drop(back(1));
      await toolstack.detach(7, 1);

      assert.deepEqual(nodes(), bare);
    });

    it('is refused for a card that is not there, and for that of another backend', async () => {
      await fails(toolstack.detach(7, 5), 'NoSuchDevice', /no card 5 of domain 7; it has "0", "1"/);
      xenstore.put('/libxl/7/device/vsnd/0/backend', '/local/domain/2/backend/vsnd/7/0');
      await fails(toolstack.detach(7, 0), 'NoSuchDevice', /another backend: xl vsnd-detach 7 0/);
    });

    it('leaves alone a card that another toolstack has made anew meanwhile', async () => {
      const detaching = toolstack.detach(7, 0);
      await settle();
      xenstore.putAll(back(0), { online: '1', state: '1' });
      await detaching;

      assert.equal(xenstore.nodes.get(`${back(0)}/state`), '1');
    });
  });

  it('undoes what is under way when it closes, and does nothing afterwards', async () => {
    const attaching = fails(toolstack.attach(7, 'modules'), 'Failed', /xen-audiod is stopping/);
    await settle();
    await toolstack.close();
    await attaching;

    assert.deepEqual(nodes(), bare);
    await fails(toolstack.attach(7, 'modules'), 'Failed', /xen-audiod is stopping/);
    await fails(toolstack.detach(7, 0), 'Failed', /xen-audiod is stopping/);
  });

  it('finds domains by what they are called', async () => {
    assert.equal(await toolstack.findDomain('music'), 7);
    await fails(toolstack.findDomain('noise'), 'NoSuchGuest', /"noise"/);
  });
});
