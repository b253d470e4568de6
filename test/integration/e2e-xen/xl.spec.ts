// SPDX-License-Identifier: LGPL-2.1-or-later
/** On real Xen only: xl itself, and what it leaves behind. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { Host, SPEAKERS } from '../../host/host.js';
import { bootGuest, domidOf, xl, xlOutput } from '../../host/real/xl.js';
import { SshMachine } from '../../host/real/ssh-machine.js';
import { loadDriverOf } from '../../lib/e2e-alsa.js';
import { Ear, FORMAT, speakersSound } from '../../lib/e2e-lifecycle-ear.js';
import { noise } from '../../lib/e2e-signals.js';
import type { OwnedProcess } from '../../lib/process.js';
import { FULL } from '../../lib/scale.js';
import { waitFor } from '../../lib/wait.js';

const TEST_MS = FULL ? 1_200_000 : 300_000;
const NAME = 'guest3';
const CARD = ['CARD, short-name=test, buffer-size=65536', 'PCM, name=main', 'STREAM, unique-id=out, type=p'];
const VSND = `vsnd=[[ ${CARD.map((item) => `"${item}"`).join(', ')} ]]`;
/** What a sound card may add to any command of xl. */
const EXTRA_MS = 1000;
const NOISE_FILE = '/tmp/noise';
const PAUSE_MS = 3000;
const ROUNDS = FULL ? 20 : 2;
/** Of them, so many may allocate what is kept: a thread's heap, a pool. */
const WARM_UP_ROUNDS = FULL ? 8 : 1;
/** A heap of V8's breathes, and the first rounds do not use all that later ones do; a leak of each round's would be more. */
const GROWTH_MAX_KIB = { controller: 8192, pulse: 512 };

async function timed(act: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await act();
  return performance.now() - begin;
}

/** Memory of a process that is no file's, proc_pid_status(5). */
function privateKib(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid ?? 0}/status`, 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
}

describe('xl, with a sound card', function () {
  this.timeout(TEST_MS);
  const machine = new SshMachine(NAME);
  let host: Host;
  let player: OwnedProcess | undefined;

  before(async () => {
    host = await Host.start({ xen: 'real' });
  });

  afterEach(async () => {
    await player?.kill();
    player = undefined;
    if ((await domidOf(NAME)) !== undefined) {
      await xl('destroy', NAME);
    }
  });

  after(async () => {
    await host.stop();
  });

  /** The guest's own kernel plays noise on its card, and dom0 hears it. */
  async function plays(): Promise<void> {
    await machine.write(NOISE_FILE, noise(FORMAT, 60));
    await loadDriverOf(machine);
    const args = [
      '-q',
      '-D',
      'plughw:0,0',
      '-t',
      'raw',
      '-f',
      'S16_LE',
      '-r',
      '44100',
      '-c',
      '2',
      NOISE_FILE,
    ];
    player = machine.start(`aplay in ${NAME}`, 'aplay', args, { logFile: `${host.dir}/aplay.log` });
    try {
      await speakersSound(host);
    } catch (error) {
      assert.fail(await account(error, player));
    }
  }

  /** What can be seen of a stream that is not heard. */
  async function account(error: unknown, aplay: OwnedProcess): Promise<string> {
    const { stdout } = await machine.run('cat', ['/proc/asound/card0/pcm0p/sub0/status']);
    return [
      String(error),
      `aplay ${aplay.running ? 'runs' : 'has ended'}: ${aplay.logTail()}`,
      stdout,
      await host.client.pactl('list', 'sink-inputs'),
      readFileSync(host.controller.logFile, 'utf8').split('\n').slice(-40).join('\n'),
    ].join('\n');
  }

  /** Neither the domain, nor a zombie of it, nor a node of its card. */
  async function isGone(domid: number): Promise<void> {
    await waitFor(`domain ${domid} to be gone`, async () => {
      const listed = await xlOutput('list');
      return !new RegExp(`^\\S+\\s+${domid}\\s`, 'm').test(listed) && !listed.includes('(null)');
    });
    for (const path of ['backend/vsnd', 'data/xen-audio']) {
      const found = await host.xen.store.directory(`/local/domain/0/${path}/${domid}`);
      assert.deepEqual(found ?? [], [], `/local/domain/0/${path}/${domid}`);
    }
    assert.equal((await host.counts()).domains['dom0']?.mapped, 0);
    assert.deepEqual(await host.client.pactl('list', 'short', 'sink-inputs'), '');
  }

  /** Of a guest without a card. */
  let bareDestroyMs: number;

  it('creates and destroys a guest as quickly as without', async () => {
    const create = (...more: string[]) => timed(() => xl('create', `/etc/xen/${NAME}.cfg`, ...more));
    const destroy = () => timed(() => xl('destroy', NAME));

    const bare = { create: await create(), destroy: await destroy() };
    const carded = { create: await create(VSND), destroy: await destroy() };
    const figures = JSON.stringify({ bare, carded });
    console.log(`      ${figures}`);
    assert.ok(carded.create - bare.create < EXTRA_MS, figures);
    assert.ok(carded.destroy - bare.destroy < EXTRA_MS, figures);
    bareDestroyMs = bare.destroy;
  });

  it(`destroys a guest that plays as quickly, holds nothing, and has not grown, after ${ROUNDS} rounds`, async () => {
    const memory = () => ({
      controller: privateKib(host.controller.pid),
      pulse: privateKib(host.pulse.pid),
    });
    const round = async (): Promise<void> => {
      const domid = await bootGuest(NAME, VSND);
      await plays();
      const tookMs = await timed(() => xl('destroy', NAME));
      assert.ok(tookMs - bareDestroyMs < EXTRA_MS, `${tookMs} ms, without a card ${bareDestroyMs} ms`);
      await player?.kill();
      await isGone(domid);
    };
    const heldBefore = (await host.counts()).domains['dom0'];
    let before = memory();
    for (let count = 1; count <= ROUNDS; count += 1) {
      await round();
      if (count === WARM_UP_ROUNDS) before = memory();
      if (count % WARM_UP_ROUNDS === 0) console.log(`      private memory, KiB: ${JSON.stringify(memory())}`);
    }
    const after = memory();
    const figures = JSON.stringify({ before, after });
    assert.deepEqual((await host.counts()).domains['dom0'], heldBefore);
    assert.ok(after.controller - before.controller < GROWTH_MAX_KIB.controller, figures);
    assert.ok(after.pulse - before.pulse < GROWTH_MAX_KIB.pulse, figures);
  });

  it('attaches, lists and detaches a card', async () => {
    const domid = await bootGuest(NAME);
    const attachMs = await timed(() => xl('vsnd-attach', NAME, ...CARD));
    assert.match(await xlOutput('vsnd-list', NAME), new RegExp(`/local/domain/0/backend/vsnd/${domid}/0`));
    await plays();
    await player?.stop();

    const detachMs = await timed(() => xl('vsnd-detach', NAME, '0'));

    console.log(`      attached in ${Math.round(attachMs)} ms, detached in ${Math.round(detachMs)} ms`);
    assert.ok(attachMs < 2 * EXTRA_MS && detachMs < 2 * EXTRA_MS);
    assert.doesNotMatch(await xlOutput('vsnd-list', NAME), /backend\/vsnd/);
    assert.deepEqual((await host.xen.store.directory(`/local/domain/0/backend/vsnd/${domid}`)) ?? [], []);
  });

  it('pauses, reboots and shuts down a guest that plays', async () => {
    const domid = await bootGuest(NAME, VSND);
    await plays();
    await xl('pause', NAME);
    const ear = await Ear.open(host, SPEAKERS);
    await ear.hearsNothing(PAUSE_MS / 1000);
    await xl('unpause', NAME);
    await ear.hears(1);
    await ear.close();
    assert.equal(player?.running, true, 'it plays on');

    await xl('reboot', NAME);
    const another = async (): Promise<number | undefined> => {
      const now = await domidOf(NAME);
      return now === domid ? undefined : now;
    };
    const next = await waitFor('another domain of that name', another, { timeoutMs: 60_000 });
    await isGone(domid);
    await bootGuest(NAME);
    await plays();

    const tookMs = await timed(() => xl('shutdown', '-w', NAME));
    console.log(`      shut down in ${Math.round(tookMs)} ms`);
    await isGone(next);
  });

  // suspend.spec.ts does so with a guest that plays
  if (FULL) {
    it('saves and restores a guest with an idle card, which then plays', async () => {
      const domid = await bootGuest(NAME, VSND);
      const file = `${host.dir}/saved`;
      await xl('save', NAME, file);
      await isGone(domid);
      await xl('restore', file);
      await bootGuest(NAME);
      await plays();
    });
  }
});
