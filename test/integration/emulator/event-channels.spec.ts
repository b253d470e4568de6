// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import readline from 'node:readline';
import { waitFor, within } from '../../lib/wait.js';
import { DOM0, GUEST, OTHER, Playground, type Probe } from './support.js';

const ROUNDS = 20_000;

describe('stand-in for libxenevtchn', () => {
  let playground: Playground;
  let guest: Probe;
  let dom0: Probe;

  beforeEach(async () => {
    playground = await Playground.create();
    guest = await playground.probe(GUEST.key, 'evt');
    dom0 = await playground.probe(DOM0, 'evt');
  });
  afterEach(async () => {
    await playground.end();
  });

  const pending = (probe: Probe, timeoutMs = 1000): Promise<number> => probe.number(`pending ${timeoutMs}`);

  /** Binds a channel and takes dom0's first event. */
  async function connect(): Promise<{ guestPort: number; dom0Port: number }> {
    const guestPort = await guest.number('bind-unbound 0');
    const dom0Port = await dom0.number(`bind-interdomain ${GUEST.domid} ${guestPort}`);
    assert.equal(await pending(dom0), dom0Port);
    await dom0.call(`unmask ${dom0Port}`);
    return { guestPort, dom0Port };
  }

  it('numbers ports of each domain from 1, the lowest first', async () => {
    assert.deepEqual([await guest.number('bind-unbound 0'), await guest.number('bind-unbound 0')], [1, 2]);
    await guest.call('unbind 1');
    assert.equal(await guest.number('bind-unbound 0'), 1);
    assert.equal(await dom0.number(`bind-unbound ${GUEST.domid}`), 1);
  });

  it('fires a new binding once, and carries events both ways', async () => {
    const { guestPort, dom0Port } = await connect();

    await guest.call(`notify ${guestPort}`);
    assert.equal(await pending(dom0), dom0Port);
    await dom0.call(`notify ${dom0Port}`);
    assert.equal(await pending(guest), guestPort);
  });

  it('makes one event of many while the port is masked or pending, and loses none', async () => {
    const { guestPort, dom0Port } = await connect();

    for (let i = 0; i < 5; i++) await guest.call(`notify ${guestPort}`);
    assert.equal(await pending(dom0), dom0Port);
    assert.equal(await pending(dom0, 0), 0, 'masked until it is unmasked');

    await dom0.call(`unmask ${dom0Port}`);
    assert.equal(await pending(dom0), dom0Port, 'what came while it was masked');
    await dom0.call(`unmask ${dom0Port}`);
    assert.equal(await pending(dom0, 0), 0);
  });

  it('refuses to bind what is not offered', async () => {
    const other = await playground.probe(OTHER.key, 'evt');
    const port = await guest.number('bind-unbound 0');

    assert.equal(await other.error(`bind-interdomain ${GUEST.domid} ${port}`), 'EINVAL', 'offered to dom0');
    assert.equal(await dom0.error(`bind-interdomain ${GUEST.domid} 99`), 'EINVAL', 'no such port');
    assert.equal(await dom0.error(`bind-interdomain 77 ${port}`), 'ESRCH', 'no such domain');
    await dom0.call(`bind-interdomain ${GUEST.domid} ${port}`);
    assert.equal(await dom0.error(`bind-interdomain ${GUEST.domid} ${port}`), 'EINVAL', 'bound already');
  });

  it('tells ports of a handle from all others', async () => {
    const { guestPort } = await connect();
    const second = await playground.probe(GUEST.key, 'evt');
    assert.equal(await second.error(`notify ${guestPort}`), 'ENOTCONN');
    assert.equal(await second.error(`unbind ${guestPort}`), 'ENOTCONN');
    assert.equal(await second.error('unbind 100000'), 'EINVAL');
    assert.equal(await second.number('unmask 17'), 0);
  });

  it('keeps a restricted handle to its domain', async () => {
    const port = await guest.number('bind-unbound 0');
    await dom0.call(`restrict ${OTHER.domid}`);
    assert.equal(await dom0.error(`bind-interdomain ${GUEST.domid} ${port}`), 'EACCES');
    assert.equal(await dom0.error('restrict 0'), 'EACCES');
  });

  it('drops notifications silently when the peer is gone, and can be bound again', async () => {
    const { guestPort, dom0Port } = await connect();

    await dom0.call(`unbind ${dom0Port}`);
    await guest.call(`notify ${guestPort}`);
    const again = await dom0.number(`bind-interdomain ${GUEST.domid} ${guestPort}`);
    assert.equal(await pending(dom0), again);
    await guest.call(`unmask ${guestPort}`);
    await dom0.call(`notify ${again}`);

    assert.equal(await pending(guest), guestPort);
  });

  it('frees the ports of a killed process, whose peer goes on unharmed', async () => {
    const { guestPort } = await connect();

    await dom0.process.kill();
    await waitFor('its ports to go', async () => (await playground.countsOf(DOM0)).ports === 0);
    await guest.call(`notify ${guestPort}`);
    await guest.call(`unbind ${guestPort}`);

    await playground.nothingLeft();
  });

  it('connects a domain with itself', async () => {
    const second = await playground.probe(GUEST.key, 'evt');
    const port = await guest.number(`bind-unbound ${GUEST.domid}`);
    const peer = await second.number(`bind-interdomain ${GUEST.domid} ${port}`);
    await second.call(`notify ${peer}`);
    assert.equal(await pending(guest), port);
  });

  it('leaves dead ports behind on a resume: a new handle starts afresh', async () => {
    const { guestPort, dom0Port } = await connect();
    await playground.emulator.changeDomid(GUEST.key, 9);
    assert.equal((await playground.countsOf(GUEST.key)).ports, 0);

    await dom0.call(`notify ${dom0Port}`);
    assert.equal(await pending(guest, 0), 0, 'nothing reaches the old port');
    await guest.call(`notify ${guestPort}`);
    assert.equal(await pending(dom0, 0), 0, 'nothing comes from it');

    const fresh = await playground.probe(GUEST.key, 'evt');
    const port = await fresh.number('bind-unbound 0');
    assert.equal(port, guestPort);
    const peer = await dom0.number(`bind-interdomain 9 ${port}`);
    await dom0.call(`notify ${peer}`);
    assert.equal(await pending(fresh), port);
  });

  it(`plays ${ROUNDS} rounds of ping-pong without losing a wake-up`, async function () {
    this.timeout(60_000);
    const server = playground.start(GUEST.key, 'ping-pong', 'serve', '0', String(ROUNDS + 1));
    const lines = readline.createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const port = await within('the port', 5000, lines.next());
    const client = playground.start(
      DOM0,
      'ping-pong',
      'ping',
      String(GUEST.domid),
      String(port.value),
      String(ROUNDS),
    );
    const result = readline.createInterface({ input: client.stdout })[Symbol.asyncIterator]();

    const end = await within('the rounds', 50_000, client.ended);

    assert.equal(end.code, 0, playground.log);
    const [median, longest] = String((await result.next()).value).split(' ');
    process.stdout.write(`      round trip: median ${median ?? '?'} µs, longest ${longest ?? '?'} µs\n`);
  });

  it('loses no wake-up when threads notify while the port is being unmasked', async function () {
    this.timeout(60_000);
    const consumer = playground.start(GUEST.key, 'flood', 'consume', '0');
    const lines = readline.createInterface({ input: consumer.stdout })[Symbol.asyncIterator]();
    const offer = await within('port and reference', 5000, lines.next());
    const [port = '', ref = ''] = String(offer.value).split(' ');
    const producer = playground.start(DOM0, 'flood', 'produce', String(GUEST.domid), port, ref);

    const ends = await within('the flood to end', 50_000, Promise.all([producer.ended, consumer.ended]));

    assert.deepEqual(
      ends.map(({ code }) => code),
      [0, 0],
      playground.log,
    );
    await playground.nothingLeft();
  });
});
