// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import net from 'node:net';
import readline from 'node:readline';
import { encodeMessage, HEADER_BYTES, MessageType } from '../../emulator/xenstore/wire.js';
import { OwnedProcess, runCommand, type CommandResult } from '../../lib/process.js';
import { waitFor, within } from '../../lib/wait.js';
import type { XenstoreClient } from '../../lib/xenstore-client.js';
import { DOM0, GUEST, OTHER, Playground } from './support.js';

const HOME = `/local/domain/${GUEST.domid}`;

describe('xenstore server', () => {
  let playground: Playground;
  const clients: XenstoreClient[] = [];

  beforeEach(async () => {
    playground = await Playground.create();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await playground.end();
  });

  async function open(key: string): Promise<XenstoreClient> {
    const client = await playground.emulator.openXenstore(key);
    clients.push(client);
    return client;
  }

  const tool = (key: string, command: string, ...args: string[]): Promise<CommandResult> =>
    runCommand(`xenstore-${command}`, args, { env: playground.emulator.environment(key) });

  async function output(key: string, command: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await tool(key, command, ...args);
    assert.equal(code, 0, `xenstore-${command} ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  describe("with Debian's tools", () => {
    it('writes, reads, lists and removes', async () => {
      await output(DOM0, 'write', '/test/a', 'one', '/test/b', 'two');
      assert.equal(await output(DOM0, 'read', '/test/a'), 'one\n');
      assert.equal(await output(DOM0, 'list', '/test'), 'a\nb\n');
      await output(DOM0, 'rm', '/test/a');
      assert.equal(await output(DOM0, 'list', '/test'), 'b\n');
    });

    it('reports what exists and what does not', async () => {
      assert.equal((await tool(DOM0, 'exists', HOME)).code, 0);
      assert.notEqual((await tool(DOM0, 'exists', '/none')).code, 0);
      const missing = await tool(DOM0, 'read', '/none');
      assert.notEqual(missing.code, 0);
      assert.match(missing.stderr, /couldn't read path \/none/);
    });

    it('lays a domain out as xl does', async () => {
      const tree = await output(DOM0, 'ls', '-p', HOME);
      assert.match(tree, /^name = "alice" *[. ]+\(n0,r5\)$/m);
      assert.match(tree, /^vm = "\/vm\/a3bb189e-8bf9-3888-9912-ace4e6543002" *[. ]+\(n0,r5\)$/m);
      assert.match(tree, /^data = "" *[. ]+\(n5\)$/m);
      assert.match(tree, /^device = "" *[. ]+\(n0,r5\)$/m);
    });

    it('reads relative paths from the home of the domain', async () => {
      assert.equal(await output(GUEST.key, 'read', 'name'), 'alice\n');
      assert.equal(await output(OTHER.key, 'read', 'name'), 'bob\n');
      assert.equal(await output(GUEST.key, 'read', 'domid'), '5\n');
    });

    it('lets a guest write where it may, and nowhere else', async () => {
      await output(GUEST.key, 'write', 'data/mine', '1');
      assert.notEqual((await tool(GUEST.key, 'write', 'device/mine', '1')).code, 0);
      assert.notEqual((await tool(OTHER.key, 'read', `${HOME}/data/mine`)).code, 0);
      await output(GUEST.key, 'chmod', 'data/mine', 'n5', 'r6');
      assert.equal(await output(OTHER.key, 'read', `${HOME}/data/mine`), '1\n');
    });

    it('lists more children than fit in a message', async () => {
      const dom0 = await open(DOM0);
      const names = Array.from({ length: 600 }, (_, index) => `child-number-${index}`);
      for (const name of names) await dom0.mkdir(`/many/${name}`);
      const listed = (await output(DOM0, 'ls', '/many')).match(/child-number-\d+/g);
      assert.deepEqual(listed?.sort(), names.sort());
    });

    it('shows changes to xenstore-watch', async () => {
      const watcher = OwnedProcess.start('xenstore-watch', 'xenstore-watch', ['-n', '3', 'data'], {
        env: playground.emulator.environment(GUEST.key),
        pipe: { stdout: true },
      });
      try {
        const seen: string[] = [];
        readline.createInterface({ input: watcher.stdout }).on('line', (line) => seen.push(line));
        await waitFor('the first event', async () => (await playground.countsOf(GUEST.key)).watches === 1);
        await output(DOM0, 'write', `${HOME}/data/x`, '1');
        await output(GUEST.key, 'rm', 'data/x');
        await within('xenstore-watch to end', 5000, watcher.ended);
        await waitFor('its output', () => seen.length === 3);
        assert.deepEqual(seen, ['data', 'data/x', 'data/x']);
      } finally {
        await watcher.kill();
      }
    });
  });

  /** Watches a path and collects what is reported. */
  async function watch(client: XenstoreClient, path: string): Promise<string[]> {
    const events: string[] = [];
    await client.watch(path, `token ${path}`, (changed) => events.push(changed));
    await waitFor(`the first event of ${path}`, () => events.length === 1);
    assert.deepEqual(events.splice(0), [path]);
    return events;
  }

  it('tells watchers of a removed ancestor about their own node', async () => {
    const dom0 = await open(DOM0);
    await dom0.write('/a/b/c', '1');
    const events = await watch(dom0, '/a/b/c');

    await dom0.rm('/a');

    await waitFor('the event', () => events.length === 1);
    assert.deepEqual(events, ['/a/b/c']);
  });

  it('fires watches for a transaction when it is committed, and not when it is aborted', async () => {
    const dom0 = await open(DOM0);
    const guest = await open(GUEST.key);
    const events = await watch(dom0, `${HOME}/data`);

    await assert.rejects(
      guest.transaction(async (access) => {
        await access.write('data/x', '1');
        throw new Error('changed my mind');
      }),
      /changed my mind/,
    );
    await guest.transaction(async (access) => {
      await access.write('data/y', '1');
      await dom0.read('/');
      assert.deepEqual(events, []);
    });

    await waitFor('the event', () => events.length > 0);
    assert.deepEqual(events, [`${HOME}/data/y`]);
  });

  it('repeats a transaction that met another', async () => {
    const dom0 = await open(DOM0);
    await dom0.write('/counter', '1');
    let tries = 0;

    await dom0.transaction(async (access) => {
      const value = Number(await access.read('/counter'));
      if (++tries === 1) await dom0.write('/counter', '10');
      await access.write('/counter', String(value + 1));
    });

    assert.equal(tries, 2);
    assert.equal(await dom0.read('/counter'), '11');
  });

  it('limits open transactions, and forgets those of a closed connection', async () => {
    const guest = await open(GUEST.key);
    const nested = (depth: number): Promise<void> =>
      guest.transaction(() => (depth === 0 ? Promise.resolve() : nested(depth - 1)));
    await nested(9);
    await assert.rejects(nested(10), { code: 'ENOSPC' });
    guest.close();
    await waitFor(
      'the connection to go',
      async () => (await playground.countsOf(GUEST.key)).connections === 0,
    );
    assert.equal((await playground.countsOf(GUEST.key)).transactions, 0);
  });

  it('tells dom0 of domains that come and go', async () => {
    const dom0 = await open(DOM0);
    const introduced = await watch(dom0, '@introduceDomain');
    const released = await watch(dom0, '@releaseDomain');

    await playground.emulator.createDomain({ ...OTHER, key: 'third', domid: 7 });
    await waitFor('the introduction', () => introduced.length === 1);
    await playground.emulator.destroyDomain('third');
    await waitFor('the release', () => released.length === 1);
    assert.equal(await dom0.directory('/local/domain/7'), undefined);
  });

  it('follows a domain to its new domid', async () => {
    const dom0 = await open(DOM0);
    const guest = await open(GUEST.key);
    const events = await watch(guest, 'data');
    await guest.write('data/x', '1');
    await waitFor('the change', () => events.length === 1);
    events.length = 0;

    await playground.emulator.changeDomid(GUEST.key, 9);

    await waitFor('the watch to fire', () => events.length > 0);
    assert.deepEqual(events, ['data']);
    assert.equal(await guest.read('domid'), '9');
    assert.equal(await guest.tryRead('data/x'), undefined);
    assert.equal(await dom0.directory(HOME), undefined);
    assert.equal(await dom0.read('/local/domain/9/name'), 'alice');
  });

  it('ends transactions that a resume has overtaken with EAGAIN', async () => {
    const guest = await open(GUEST.key);
    let tries = 0;
    await guest.transaction(async (access) => {
      await access.read('domid');
      if (++tries === 1) await playground.emulator.changeDomid(GUEST.key, 9);
    });
    assert.equal(tries, 2);
  });

  it('closes the connection of a client that sends too long a message, and no other', async () => {
    const bystander = await open(GUEST.key);
    const socket = net.connect(playground.emulator.xenstorePath(GUEST.key));
    const closed = new Promise<string>((resolve) => {
      const octets: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => octets.push(chunk));
      socket.on('close', () => {
        resolve(Buffer.concat(octets).toString('latin1', HEADER_BYTES));
      });
    });
    const payload = Buffer.alloc(5000);
    socket.write(encodeMessage({ type: MessageType.WRITE, requestId: 1, transactionId: 0, payload }));

    assert.equal(await within('the connection to be closed', 5000, closed), 'E2BIG\0');
    assert.equal(await bystander.read('name'), 'alice');
    assert.match(playground.log, /domain 5 sent E2BIG/);
  });

  it('answers what it does not know with an error', async () => {
    const socket = net.connect(playground.emulator.xenstorePath(GUEST.key));
    const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve));
    socket.write(encodeMessage({ type: 99, requestId: 4, transactionId: 0, payload: Buffer.alloc(0) }));
    const answer = await within('an answer', 5000, answered);
    socket.destroy();
    assert.equal(answer.readUInt32LE(0), MessageType.ERROR);
    assert.equal(answer.readUInt32LE(4), 4);
    assert.equal(answer.toString('latin1', HEADER_BYTES), 'ENOSYS\0');
  });
});
