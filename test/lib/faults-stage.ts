// SPDX-License-Identifier: LGPL-2.1-or-later
/** A host with two guests: one plays and records while something goes wrong, the other plays and must notice nothing. */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import type { Guest } from '../host/guest.js';
import { Host, SPEAKERS, type HostOptions } from '../host/host.js';
import { thisMachine } from '../host/machine.js';
import { captureIs, sourceOutputsOf, speak } from './e2e-capture.js';
import { awaitInMixer, sliderOf } from './e2e-control.js';
import { Desktop } from './e2e-dbus.js';
import { backendModulesOf, isPlaying, sinkInputsOf } from './e2e-lifecycle.js';
import { Bystander, LATENCY_MS } from './e2e-lifecycle-bystander.js';
import { Ear, FORMAT } from './e2e-lifecycle-ear.js';
import { noise, silentFrames } from './e2e-signals.js';
import { InhibitStandIn, Login } from './faults-login.js';
import { XenstoreWire } from './faults-xenstore-wire.js';
import type { OwnedProcess } from './process.js';
import { waitFor } from './wait.js';

const NOISE_SECONDS = 120;
/** Time to route a stream before its first sound. */
const LEAD_IN_SECONDS = 2;
const VOLUME = 40_000;
/** More than a program of the guest's needs to give up what it held: dead processes are found within 5 s. */
const LEAK_MS = 15_000;
const BYSTANDER_SINK = 'bystander';
/** A sink that does not rewind sounds soon after it has been idle. */
const HOST: HostOptions = { xen: 'emulated', policy: { capture: 'ask' }, nullSinkArgs: 'norewinds=1' };

export class FaultStage {
  private player: OwnedProcess | undefined;
  private voice: OwnedProcess | undefined;
  private speakers: Ear | undefined;
  private inGuest: Ear | undefined;
  private login: Login | undefined;
  /** Where the subject migrates to. */
  private there: Host | undefined;
  /** What is held while the subject plays and records: while the other guest's stream is still open, and later. */
  private readonly held: string[] = [];

  private constructor(
    readonly host: Host,
    readonly wire: XenstoreWire,
    readonly desktop: Desktop,
    private readonly inhibit: InhibitStandIn,
    /** The guest that things are done to. */
    public subject: Guest,
    private readonly bystander: Bystander,
    private readonly noiseFile: string,
    private readonly pcm: Buffer,
  ) {}

  static async start(): Promise<FaultStage> {
    const inhibit = InhibitStandIn.install();
    const host = await Host.start(HOST).catch((error: unknown) => {
      inhibit.remove();
      throw error;
    });
    try {
      const wire = await XenstoreWire.tap(host);
      await host.stopController();
      await host.startController();
      const subject = await host.addGuest({ name: 'subject' });
      const other = await host.addGuest({ name: 'bystander' });
      const pcm = noise(FORMAT, NOISE_SECONDS);
      const noiseFile = join(host.dir, 'noise');
      await thisMachine.write(noiseFile, Buffer.concat([silentFrames(FORMAT, LEAD_IN_SECONDS), pcm]));
      await other.loadSink();
      await other.connected();
      const bystander = await Bystander.create(host, other, noiseFile);
      const desktop = new Desktop(host);
      const stage = new FaultStage(host, wire, desktop, inhibit, subject, bystander, noiseFile, pcm);
      await stage.loadDevices();
      await desktop.call(other, 'SetRoute', 'ss', 'playback', BYSTANDER_SINK);
      await desktop.call(subject, 'AllowCaptureAlways');
      await desktop.setVolume(subject, VOLUME);
      await stage.rehearse();
      return stage;
    } catch (error) {
      await host.stop();
      inhibit.remove();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.login?.close();
    await this.speakers?.close();
    await this.inGuest?.close();
    await this.player?.stop();
    await this.voice?.stop();
    await this.bystander.stop();
    await this.there?.stop();
    await this.host.stop();
    this.wire.cut();
    this.inhibit.remove();
  }

  /** The subject goes on at another host. */
  async migrateAway(): Promise<void> {
    const { host, subject } = this;
    this.there = await Host.start({ ...HOST, beside: host });
    await host.migrate(subject, this.there);
    const ear = await Ear.open(this.there, SPEAKERS);
    await ear.hears();
    await ear.close();
  }

  /** And comes back. */
  async migrateBack(): Promise<void> {
    const { there } = this;
    assert.ok(there !== undefined);
    await there.migrate(this.subject, this.host);
    this.there = undefined;
    await there.stop();
  }

  /** dom0 is about to sleep, and nothing holds it up any more. */
  async fallAsleep(): Promise<void> {
    this.login = await Login.connect(this.host.bus.address);
    await this.login.takeName();
    await this.inhibit.has(1, 'taken');
    this.login.prepareForSleep(true);
    await this.inhibit.has(2, 'released');
  }

  async wakeUp(): Promise<void> {
    this.login?.prepareForSleep(false);
    await this.inhibit.has(3, 'taken');
    await this.login?.close();
    this.login = undefined;
  }

  /** The subject's sink and source. */
  async loadDevices(): Promise<void> {
    await this.subject.loadSink();
    await this.subject.loadSource();
    await this.subject.connected();
  }

  /** A sink that can be pulled out. @returns its module */
  async plug(sink: string): Promise<number> {
    return this.host.client.loadModule('module-null-sink', `sink_name=${sink} norewinds=1`);
  }

  /** What a fault of dom0's sound server takes with it. */
  async plugBystander(): Promise<void> {
    await this.plug(BYSTANDER_SINK);
  }

  /** Its domain goes, and what libxl removes with it. */
  async destroySubject(): Promise<void> {
    const { host, subject } = this;
    await host.removeGuest(subject);
    await host.xen.store.rm(`/local/domain/0/backend/vsnd/${subject.domain.domid}`);
  }

  /** The same VM in a new domain. */
  async restartSubject(): Promise<void> {
    const { name, uuid } = this.subject.domain;
    this.subject = await this.host.addGuest({ name, uuid });
    await this.loadDevices();
  }

  /**
   * Sees to it that the subject plays and records, with programs of its own where those before have ended, and that both is
   * heard. @returns the milliseconds until dom0's mixer had its streams
   */
  async sounds(): Promise<number> {
    const { host, subject } = this;
    const begin = performance.now();
    if (this.player?.running !== true) {
      const options = { latencyMs: LATENCY_MS, logFile: join(subject.dir, 'pacat.log') };
      this.player = subject.client.play(subject.sink ?? '', this.noiseFile, FORMAT, options);
    }
    const [, tookMs] = await Promise.all([this.listen(), this.inMixer(begin)]);
    await isPlaying(host, subject);
    await captureIs(host, subject, { active: '1' });
    await Promise.all([this.speakers?.hears(), this.inGuest?.hears()]);
    return tookMs;
  }

  private async listen(): Promise<void> {
    const { host, subject, pcm } = this;
    if (this.inGuest?.running !== true) this.inGuest = await Ear.inGuest(host, subject);
    if (this.speakers?.running !== true) this.speakers = await Ear.open(host, SPEAKERS);
    if (this.voice?.running !== true) this.voice = await speak(host, pcm, FORMAT);
  }

  private async inMixer(begin: number): Promise<number> {
    const { host, subject } = this;
    const isThere = async (): Promise<boolean> =>
      (await sinkInputsOf(host, subject)).length > 0 && (await sourceOutputsOf(host, subject)).length > 0;
    await waitFor("both streams to be in dom0's mixer", isThere, { detail: () => subject.logTail() });
    return performance.now() - begin;
  }

  /** So that every node is there that will ever be; then takes note of what is held. */
  private async rehearse(): Promise<void> {
    await this.bystander.play(this.pcm, async () => {
      await this.sounds();
    });
    const { host, bystander } = this;
    this.held.push(await this.holds());
    await waitFor(
      'the other guest to be idle',
      async () => (await sinkInputsOf(host, bystander.guest)).length === 0,
    );
    this.held.push(await this.holds());
  }

  /** Does something; the other guest does not notice, or, where it is concerned too, plays as before afterwards. */
  async during(act: () => Promise<void>, concernsAll: boolean): Promise<void> {
    await this.sounds();
    if (concernsAll) await act();
    await this.bystander.play(this.pcm, concernsAll ? () => Promise.resolve() : act);
  }

  /** Volume and consent are what they were before, where they are decided and where they take effect. */
  async isAsBefore(): Promise<void> {
    const { host, subject, desktop } = this;
    assert.equal(await desktop.volume(subject), VOLUME, 'volume');
    assert.equal(sliderOf(await awaitInMixer(host, subject))[0], VOLUME, "in dom0's mixer");
    assert.equal(await desktop.get(subject, 'CapturePolicy'), 'allow', 'consent');
    assert.equal(await desktop.get(subject, 'CaptureActive'), true, 'it records');
    assert.equal((await backendModulesOf(host, subject)).length, 2, 'a module for each stream');
  }

  /** Nothing is held that was not held before the first fault. */
  async leaksNothing(): Promise<void> {
    let found = '';
    const isSo = async (): Promise<boolean> => {
      found = await this.holds();
      return this.held.includes(found);
    };
    await waitFor('as much to be held as before', isSo, {
      timeoutMs: LEAK_MS,
      detail: () => `before ${this.held.join(' or ')}\n   now ${found}`,
    });
  }

  private async holds(): Promise<string> {
    const { domains, nodes } = await this.host.counts();
    const { [this.subject.domain.key]: subject, ...others } = domains;
    return JSON.stringify({ nodes, subject, ...others });
  }
}
