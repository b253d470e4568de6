// SPDX-License-Identifier: LGPL-2.1-or-later
/** Sound server and xen-audiod in a domain that is not dom0, and that may do no more than xenstored lets any domain. */
import assert from 'node:assert/strict';
import { z } from 'zod';

import type { Guest } from '../../host/guest.js';
import { Host, SPEAKERS } from '../../host/host.js';
import { addMicrophone, captureAndRecord, judge } from '../../lib/e2e-capture.js';
import { Desktop } from '../../lib/e2e-dbus.js';
import { argumentsOf } from '../../lib/e2e-formats.js';
import { compare, playAndRecord } from '../../lib/e2e-play.js';
import { noise } from '../../lib/e2e-signals.js';
import type { StreamFormat } from '../../lib/pulse.js';
import { waitFor } from '../../lib/wait.js';

const FORMAT: StreamFormat = { format: 's16le', rate: 48_000, channels: 2 };
const SECONDS = 3;
/** Much more than a busy machine stalls for. */
const PLAYER_LATENCY_MS = 300;
/** The key of the first domain that the emulated Xen makes. */
const DRIVER_DOMAIN = 'guest1';
const Listed = z.array(z.looseObject({ name: z.string(), uuid: z.string() }));

describe('end to end: a driver domain', function () {
  this.timeout(60_000);
  let host: Host;
  let guest: Guest;
  let desktop: Desktop;
  const pcm = noise(FORMAT, SECONDS);

  before(async () => {
    const spec = argumentsOf(FORMAT);
    host = await Host.start({
      xen: 'emulated',
      driverDomain: true,
      policy: { capture: 'allow' },
      nullSinkArgs: spec,
      micFeedArgs: spec,
    });
    desktop = new Desktop(host);
    guest = await host.addGuest();
    await guest.loadSink(spec);
    await guest.loadSource(spec);
    await guest.connected();
  });

  after(async () => {
    await host.stop();
  });

  /** Names and UUIDs. */
  const listed = async (): Promise<[string, string][]> =>
    Listed.parse(JSON.parse(await desktop.ctl('list', '--json'))).map(({ name, uuid }) => [name, uuid]);

  const cards = (): Promise<string[] | undefined> =>
    host.xen.store.directory(`/local/domain/${host.xen.backendDomid}/backend/vsnd/${guest.domain.domid}`);

  const cardsToGo = (): Promise<true> =>
    waitFor("the card's directory to go", async () => (await cards())?.length === 0);

  it('plays what its guest plays, sample for sample', async () => {
    const received = await playAndRecord({
      from: { client: guest.client, sink: guest.sink ?? '' },
      to: { client: host.client, sink: SPEAKERS },
      pcm,
      format: FORMAT,
      dir: guest.dir,
      options: { latencyMs: PLAYER_LATENCY_MS },
    });
    const result = compare(pcm, received, FORMAT);
    assert.equal(result.exact, true, `${JSON.stringify(result)}\n${guest.logTail()}`);
  });

  it('lets its guest hear the microphone, sample for sample', async () => {
    const route = await addMicrophone(host, 'feed', argumentsOf(FORMAT));
    const captured = await captureAndRecord({ host, guest, feed: 'feed', route, pcm, format: FORMAT });
    const verdict = judge(pcm, captured, FORMAT);
    assert.equal(verdict.asGood, true, `${JSON.stringify(verdict)}\n${guest.logTail()}`);
  });

  it('knows a guest by its domid alone, and by its name when dom0 lets it read that', async () => {
    const { domid, name, uuid } = guest.domain;
    assert.deepEqual(await listed(), [[`domain ${domid}`, '']]);
    await desktop.ctl('volume', String(domid), '50');
    await host.removeCard(guest);
    await cardsToGo();
    await waitFor('the daemon to forget it', async () => (await listed()).length === 0);

    for (const path of [`/local/domain/${domid}/name`, `/local/domain/${domid}/vm`]) {
      await host.xen.store.setPerms(path, ['n0', `r${domid}`, `r${host.xen.backendDomid}`]);
    }
    await host.addCard(guest);
    await guest.connected();
    assert.deepEqual(await listed(), [[name, uuid]]);
  });

  it('leaves no directory of a card behind, which libxl does not remove there', async () => {
    assert.deepEqual(await cards(), ['0']);
    await host.removeGuest(guest);
    await cardsToGo();
    const { ports, grants, mapped } = (await host.counts()).domains[DRIVER_DOMAIN] ?? {};
    assert.deepEqual({ ports, grants, mapped }, { ports: 0, grants: 0, mapped: 0 });
  });
});
