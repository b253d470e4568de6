// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { Emulator } from '../../emulator/client.js';
import { paths } from '../../lib/paths.js';
import { runCommand } from '../../lib/process.js';
import { Toolstack, ToolstackError, type VsndCard } from '../../lib/toolstack.js';
import { within } from '../../lib/wait.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';
import { DOM0, GUEST, OTHER, Playground } from './support.js';

describe('emulator', () => {
  let playground: Playground;

  beforeEach(async () => {
    playground = await Playground.create();
  });
  afterEach(async () => {
    await playground.end();
  });

  it('removes its directory when it is stopped', async () => {
    const { directory } = playground.emulator;
    assert.ok(fs.existsSync(directory));
    const end = await playground.emulator.stop();
    assert.deepEqual(end, { code: 0, signal: null });
    assert.ok(!fs.existsSync(directory));
  });

  it('can be used from another process', async () => {
    const attached = await Emulator.attach(playground.emulator.directory);
    assert.deepEqual(
      Object.keys((await attached.counts()).domains).sort(),
      [DOM0, GUEST.key, OTHER.key].sort(),
    );
    await attached.stop();
    await playground.emulator.counts();
  });

  it('refuses orders that cannot be carried out', async () => {
    const { emulator } = playground;
    await assert.rejects(emulator.createDomain(GUEST), /already a domain with the key 'guest'/);
    await assert.rejects(emulator.createDomain({ ...GUEST, key: 'twin' }), /domid 5 is in use by 'guest'/);
    await assert.rejects(emulator.createDomain({ ...GUEST, key: '../up', domid: 8 }), /letters, digits/);
    await assert.rejects(emulator.destroyDomain('none'), /no domain with the key 'none'/);
    await assert.rejects(emulator.destroyDomain(DOM0), /cannot be destroyed/);
    await assert.rejects(emulator.changeDomid(GUEST.key, OTHER.domid), /in use by 'other'/);
  });

  it('answers what is no request with an error', async () => {
    const socket = net.connect(path.join(playground.emulator.directory, 'control.sock'));
    const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    socket.write('no json\n');
    assert.match((await within('an answer', 5000, answered)).toString(), /"ok":false,"error":"not JSON/);
    socket.destroy();
  });

  for (const { title, args, message } of [
    { title: 'without arguments', args: [], message: /usage: main.js --dir/ },
    { title: 'without stand-ins', args: ['--dir', 'xen', '--lib', '/nowhere'], message: /is missing: build/ },
    {
      title: 'with a directory in use',
      args: ['--dir', '/', '--lib', paths.standInsDir],
      message: /choose another --dir/,
    },
  ]) {
    it(`does not start ${title}`, async () => {
      const { code, stderr } = await runCommand(process.execPath, [paths.emulatorMain, ...args]);
      assert.equal(code, 1);
      assert.match(stderr, message);
    });
  }

  it('is gone from counts with all a destroyed domain had', async () => {
    const before = (await playground.emulator.counts()).nodes;
    await playground.emulator.createDomain({ ...OTHER, key: 'third', domid: 7, uuid: crypto.randomUUID() });
    const client = await playground.emulator.openXenstore('third');
    await client.write('data/x', '1');

    await playground.emulator.destroyDomain('third');

    await assert.rejects(client.read('data/x'), /closed the connection|EPIPE|ECONNRESET/);
    const after = await playground.emulator.counts();
    assert.equal(after.domains['third'], undefined);
    assert.equal(after.nodes, before);
  });
});

describe('toolstack', () => {
  const CARD: VsndCard = {
    shortName: 'Xen',
    sampleRates: [44100, 48000],
    sampleFormats: ['s16_le'],
    channelsMin: 2,
    channelsMax: 2,
    bufferSizeBytes: 65536,
    pcm: [
      {
        name: 'Main',
        streams: [
          { type: 'p', uniqueId: 'out' },
          { type: 'c', uniqueId: 'in', channelsMax: 1 },
        ],
      },
    ],
  };
  const FRONT = `/local/domain/${GUEST.domid}/device/vsnd/0`;
  const BACK = `/local/domain/0/backend/vsnd/${GUEST.domid}/0`;
  let playground: Playground;
  let dom0: XenstoreClient;

  beforeEach(async () => {
    playground = await Playground.create();
    dom0 = await playground.emulator.openXenstore(DOM0);
  });
  afterEach(async () => {
    dom0.close();
    await playground.end();
  });

  /** Answers states as a backend without streams does. */
  const backend = (): Promise<void> =>
    dom0.watch('/local/domain/0/backend', 'backend', (changed) => {
      if (!changed.endsWith('/state')) return;
      void dom0.tryRead(changed).then(async (state) => {
        if (state === '1') await dom0.write(changed, '2');
        if (state === '5') await dom0.write(changed, '6');
      });
    });

  it('writes a card as libxl does, where frontend and backend can read it', async () => {
    await backend();
    await new Toolstack(dom0).addVsnd(GUEST.domid, 0, CARD);

    const guest = await playground.emulator.openXenstore(GUEST.key);
    assert.equal(await guest.read('device/vsnd/0/backend'), BACK);
    assert.equal(await guest.read('device/vsnd/0/0/1/channels-max'), '1');
    assert.equal(await guest.read('device/vsnd/0/sample-rates'), '44100,48000');
    assert.equal(await guest.read(`${BACK}/state`), '2');
    await guest.write('device/vsnd/0/state', '3');
    await assert.rejects(guest.write(`${BACK}/state`, '4'), { code: 'EACCES' });
    guest.close();
    assert.deepEqual(await dom0.getPerms(`${FRONT}/0/0/type`), ['n5', 'r0']);
    assert.deepEqual(await dom0.getPerms(BACK), ['n0', 'r5']);
    assert.equal(await dom0.read(`/libxl/${GUEST.domid}/device/vsnd/0/frontend`), FRONT);
  });

  it('removes a card without a trace', async () => {
    await backend();
    const toolstack = new Toolstack(dom0);
    await toolstack.addVsnd(GUEST.domid, 0, CARD);
    await assert.rejects(toolstack.addVsnd(GUEST.domid, 0, CARD), /exists already/);

    await toolstack.removeVsnd(GUEST.domid, 0);

    for (const path of [FRONT, BACK, `/libxl/${GUEST.domid}/device/vsnd/0`]) {
      assert.equal(await dom0.directory(path), undefined, path);
    }
  });

  it('reports a backend that does not answer', async () => {
    const toolstack = new Toolstack(dom0, 200);
    await assert.rejects(toolstack.addVsnd(GUEST.domid, 0, CARD), (error: Error) => {
      assert.ok(error instanceof ToolstackError);
      assert.match(error.message, /unable to add card 0 to domain 5: .* it is 1; does the backend run\?/);
      return true;
    });
    await assert.rejects(toolstack.removeVsnd(GUEST.domid, 0), /removed by force/);
    assert.equal(await dom0.directory(BACK), undefined);
    assert.equal((await playground.countsOf(DOM0)).watches, 0);
  });
});
