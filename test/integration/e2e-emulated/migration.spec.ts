// SPDX-License-Identifier: LGPL-2.1-or-later
/** On the emulated Xen only: a second host. On the real one guests migrate to their own (e2e-xen/suspend.spec.ts). */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import { Host, SPEAKERS } from '../../host/host.js';
import type { Counts } from '../../host/xen.js';
import { speak } from '../../lib/e2e-capture.js';
import { Desktop, NORM } from '../../lib/e2e-dbus.js';
import { logFrom, sinkInputsOf, TwoGuests } from '../../lib/e2e-lifecycle.js';
import { Ear, FORMAT } from '../../lib/e2e-lifecycle-ear.js';
import type { OwnedProcess } from '../../lib/process.js';
import { XlStandIn } from '../../lib/xl-stand-in.js';

const TEST_MS = 120_000;
const HALF = NORM / 2;
const RESUMED = /has been resumed while it was connected/g;

/** A guest plays and records while it migrates; another stays, plays, and must not notice. */
describe('end to end: a guest that migrates to another host and back', function () {
  this.timeout(TEST_MS);
  let stage: TwoGuests;
  let there: Host;
  let voices: OwnedProcess[];
  let ears: Ear[];
  /** What both hosts hold after the first time. */
  let left: Counts[] | undefined;

  before(async () => {
    stage = await TwoGuests.start({ mayRecord: ['subject'] });
    const { host, subject } = stage;
    there = await Host.start({ beside: host, mayRecord: ['subject'] });
    await stage.loadSink();
    await subject.loadSource();
    await subject.connected();
    await new Desktop(host).setVolume(subject, HALF);
    voices = await Promise.all([host, there].map((each) => speak(each, stage.pcm, FORMAT)));
    ears = await Promise.all([host, there].map((each) => Ear.open(each, SPEAKERS)));
  });

  after(async () => {
    stage.subject.pulse.thaw();
    await Promise.all([...voices, ...ears].map((each) => ('close' in each ? each.close() : each.stop())));
    await there.stop();
    await stage.stop();
  });

  /** As `xen-audioctl migrate` does it around xl, on the host that the guest leaves. */
  async function planned(from: Host, to: Host): Promise<void> {
    const { subject } = stage;
    const { name, domid } = subject.domain;
    const xl = new XlStandIn(join(from.dir, `migrate-${domid}`));
    const migrating = new Desktop(from, xl.path).tryCtl('migrate', name, 'there');
    assert.equal(await xl.called(), `migrate ${domid} there`);
    const { [subject.domain.key]: own } = (await from.counts()).domains;
    assert.deepEqual([own?.ports, own?.grants], [0, 0], 'it holds nothing any more');
    await from.migrate(subject, to);
    xl.end(0);
    const { code, stderr } = await migrating;
    assert.deepEqual([code, stderr], [0, '']);
  }

  async function unplanned(from: Host, to: Host): Promise<void> {
    await from.migrate(stage.subject, to);
  }

  /** It is heard where it has gone, and hears, with the programs it had. */
  async function goes(way: typeof planned, from: Host, to: Host): Promise<void> {
    const { subject } = stage;
    const player = stage.play();
    const input = await Ear.inGuest(from, subject);
    const [hereEar, thereEar] = from === there ? [...ears].reverse() : ears;
    try {
      await Promise.all([hereEar?.hears(), input.hears()]);
      await way(from, to);
      await Promise.all([hereEar?.hearsNothing(), thereEar?.hears(), input.hears()]);
      assert.deepEqual([player.running, input.running], [true, true]);
      assert.equal((await sinkInputsOf(to, subject)).length, 1);
    } finally {
      await stage.endPlayers();
      await input.close();
    }
  }

  for (const [which, way, resumes] of [
    ['as planned', planned, 0],
    ['unplanned', unplanned, 2],
  ] as const) {
    it(`${which}, plays and records there, and back here with its volume, and nobody else notices`, async () => {
      const { host, subject } = stage;
      const log = logFrom(subject.pulse.logFile);
      await stage.undisturbed(async () => {
        await goes(way, host, there);
        assert.equal(await new Desktop(there).volume(subject), NORM, "that is the other host's own");
        await goes(way, there, host);
        assert.equal(await new Desktop(host).volume(subject), HALF);
      });
      assert.equal(log().match(RESUMED)?.length ?? 0, resumes, log());
    });

    it(`leaves nothing behind on either host, ${which}`, async () => {
      const counts = [await stage.idleCounts(), await there.counts()];
      left ??= counts;
      assert.deepEqual(counts, left);
      const { domains } = await there.counts();
      assert.deepEqual(Object.keys(domains), ['beside']);
    });
  }
});
