// SPDX-License-Identifier: LGPL-2.1-or-later
/** Light guests come, go, crash and are turned up and down at random, while others play and must not notice. */
import { join } from 'node:path';

import type { Guest } from '../host/guest.js';
import { Host } from '../host/host.js';
import type { Counts } from '../host/xen.js';
import { GapProbe, type GapCounts } from './gap-probe.js';
import { LightGuests, type LightGuest } from './light-guest.js';
import { backendModules, figuresOf, returnsTo, settledCounts } from './many.js';
import { runCommand } from './process.js';
import { Random } from './random.js';
import { slopeOf } from './slope.js';

const FORMAT = 'format=s16le rate=44100 channels=2';
/** Played in dom0 alone: what it misses is the machine's fault. */
const LOCAL = 'local';
const NORM_PERCENT = 100;

export interface SoakOptions {
  minutes: number;
  seed: number;
  /** Guests with a PulseAudio of their own, which play all the time. */
  players: number;
  lightGuests: number;
  latencyMs: number;
  say: (line: string) => void;
}

export interface Sample {
  atMinutes: number;
  controllerKib: number;
  pulseKib: number;
}

export interface SoakReport {
  seed: number;
  minutes: number;
  /** How often each thing was done. */
  acts: Record<string, number>;
  /** Acts that failed, and what guests complained of. */
  failures: string[];
  players: (GapCounts & { name: string; underruns: number; lateBytes: number })[];
  local: GapCounts;
  samples: Sample[];
  /** After the first third, KiB a minute. */
  controllerSlope: number;
  pulseSlope: number;
  before: Counts;
  after: Counts;
  modules: number[];
}

/** A whole soak, on a host of its own. @throws Error when nothing can be played at all, or things do not end */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const host = await Host.start({ nullSinkArgs: FORMAT, config: { logLevel: 'info' } });
  const run = new Soak(host, options);
  try {
    return await run.run();
  } finally {
    await run.stop();
    await host.stop();
  }
}

class Soak {
  private readonly random: Random;
  private readonly guests: LightGuests;
  private readonly players: Guest[] = [];
  private readonly probes: GapProbe[] = [];
  private readonly acts: Record<string, number> = {};
  private readonly failures: string[] = [];
  private readonly samples: Sample[] = [];
  private readonly begin = performance.now();

  constructor(
    private readonly host: Host,
    private readonly options: SoakOptions,
  ) {
    this.random = new Random(options.seed);
    this.guests = new LightGuests(host);
  }

  async run(): Promise<SoakReport> {
    const { minutes, seed, lightGuests, say } = this.options;
    say(`seed ${seed}: ${this.options.players} players, ${lightGuests} light guests, ${minutes} minutes`);
    await this.startPlayers();
    for (let index = 1; index <= lightGuests; index += 1) await this.guests.create(`light${index}`);
    const before = await settledCounts(this.host);
    const modules = [await backendModules(this.host)];
    await Promise.all(this.guests.all.map((guest) => this.attach(guest)));

    const end = performance.now() + minutes * 60_000;
    const sampler = this.sampleUntil(end);
    await Promise.all(this.guests.all.map((guest) => this.liveUntil(end, guest)));
    await sampler;

    await Promise.all(this.guests.all.map((guest) => guest.detach()));
    for (const guest of this.guests.all) {
      this.failures.push(...guest.failures.map((failure) => `${guest.name}: ${failure}`));
    }
    await this.guests.endDomains();
    await returnsTo(this.host, this.withoutLight(before), (counts) => this.withoutLight(counts));
    modules.push(await backendModules(this.host));
    return { ...(await this.report(before)), modules };
  }

  /** Harmless at any time. */
  async stop(): Promise<void> {
    await Promise.all(this.probes.map((probe) => probe.stop()));
    await this.guests.stop();
  }

  private async startPlayers(): Promise<void> {
    const { client, dir } = this.host;
    for (let index = 1; index <= this.options.players; index += 1) {
      const name = `player${index}`;
      await client.loadModule('module-null-sink', `sink_name=${name} ${FORMAT}`);
      const guest = await this.host.addGuest({ name });
      this.players.push(guest);
      await guest.loadSink(FORMAT);
      await guest.connected();
      await this.host.changePolicy(
        this.players.map(({ domain }) => ({ guests: domain.name, sink: domain.name })),
      );
      this.probe(name, { client: guest.client, sink: guest.sink ?? '' }, name);
    }
    await client.loadModule('module-null-sink', `sink_name=${LOCAL} ${FORMAT}`);
    this.probe(LOCAL, { client, sink: LOCAL }, LOCAL);
    for (const probe of this.probes) await probe.hears(44_100);
    this.options.say(`playing, logs in ${dir}`);
  }

  private probe(name: string, from: { client: Guest['client']; sink: string }, sink: string): void {
    const { latencyMs } = this.options;
    const logFile = join(this.host.dir, `probe-${name}.log`);
    this.probes.push(GapProbe.start(name, from, { client: this.host.client, sink }, { latencyMs, logFile }));
  }

  private async attach(guest: LightGuest): Promise<void> {
    await guest.attach();
    await guest.connected();
  }

  /** One guest's life: an act, then a pause of up to two seconds, and again. */
  private async liveUntil(end: number, guest: LightGuest): Promise<void> {
    while (performance.now() < end) {
      const [name, act] = this.chooseAct();
      this.acts[name] = (this.acts[name] ?? 0) + 1;
      try {
        await act(guest);
      } catch (error) {
        const at = ((performance.now() - this.begin) / 60_000).toFixed(2);
        const failure = `${at} min, ${guest.name}: ${name}: ${error instanceof Error ? error.message : String(error)}`;
        this.failures.push(failure);
        this.options.say(failure);
      }
      await pause(this.random.below(2000));
    }
  }

  private chooseAct(): readonly [string, (guest: LightGuest) => Promise<void>] {
    const acts: readonly (readonly [string, (guest: LightGuest) => Promise<void>])[] = [
      ['play', order('play')],
      ['play', order('play')],
      ['stop', order('stop')],
      ['record', order('record')],
      ['deafen', order('deafen')],
      ['volume over D-Bus', (guest) => this.setVolume(guest)],
      ['volume by pactl', (guest) => this.moveSlider(guest)],
      ['kill', (guest) => this.killAndStart(guest)],
      ['resume', (guest) => guest.resume().then(() => guest.connected())],
      ['reboot', (guest) => guest.reboot().then(() => guest.connected())],
      ['reattach', (guest) => this.reattach(guest)],
    ];
    return acts[this.random.below(acts.length)] ?? ['play', order('play')];
  }

  private async setVolume(guest: LightGuest): Promise<void> {
    const path = `/org/xenproject/Audio1/guest/u${guest.uuid.replaceAll('-', '_')}`;
    const volume = (this.random.below(NORM_PERCENT) / NORM_PERCENT).toString();
    const names = ['org.xenproject.Audio1', path, 'org.xenproject.Audio1.Guest1', 'Volume', 'd', volume];
    const { code, stderr } = await runCommand('busctl', [
      `--address=${this.host.bus.address}`,
      'set-property',
      ...names,
    ]);
    if (code !== 0) throw new Error(stderr.trim());
  }

  /** Of its stream in dom0's mixer, when it has one. */
  private async moveSlider(guest: LightGuest): Promise<void> {
    const inputs = await this.host.client.list('sink-inputs');
    const own = inputs.find(({ properties }) => properties['xen.guest.domid'] === String(guest.domid));
    if (own === undefined) return;
    const volume = `${this.random.below(NORM_PERCENT)}%`;
    await this.host.client
      .pactl('set-sink-input-volume', String(own.index), volume)
      .catch((error: unknown) => {
        if (!String(error).includes('No such entity')) throw error; // it has stopped meanwhile
      });
  }

  /** What played is killed, and started again once the backend has noticed. */
  private async killAndStart(guest: LightGuest): Promise<void> {
    await guest.kill();
    await guest.start();
    await guest.connected();
  }

  private async reattach(guest: LightGuest): Promise<void> {
    await guest.detach();
    await pause(this.random.below(500));
    await this.attach(guest);
  }

  private async sampleUntil(end: number): Promise<void> {
    const begin = performance.now();
    const interval = Math.min(10_000, (end - begin) / 12);
    while (performance.now() < end) {
      const sample = {
        atMinutes: (performance.now() - begin) / 60_000,
        controllerKib: figuresOf(this.host.controller.pid).rssKib,
        pulseKib: figuresOf(this.host.pulse.pid).rssKib,
      };
      this.samples.push(sample);
      const gaps = this.probes.map(({ name, counts }) => `${name} ${counts.gaps}`).join(', ');
      this.options.say(
        `${sample.atMinutes.toFixed(1)} min: controller ${sample.controllerKib} KiB, pulse ${sample.pulseKib} KiB, gaps: ${gaps}`,
      );
      await pause(interval);
    }
  }

  private async report(before: Counts): Promise<Omit<SoakReport, 'modules'>> {
    const { seed, minutes } = this.options;
    const steady = this.samples.slice(Math.floor(this.samples.length / 3));
    const players = await Promise.all(
      this.players.map(async (guest, index) => ({
        name: guest.domain.name,
        ...(this.probes[index]?.counts ?? noCounts()),
        underruns: Number(await this.host.streamNode(guest, 'underruns')),
        lateBytes: Number(await this.host.streamNode(guest, 'late-bytes')),
      })),
    );
    return {
      seed,
      minutes,
      acts: this.acts,
      failures: this.failures,
      players,
      local: this.probes.at(-1)?.counts ?? noCounts(),
      samples: this.samples,
      controllerSlope: slopeOf(steady.map(({ atMinutes, controllerKib }) => [atMinutes, controllerKib])),
      pulseSlope: slopeOf(steady.map(({ atMinutes, pulseKib }) => [atMinutes, pulseKib])),
      before: this.withoutLight(before),
      after: this.withoutLight(await this.host.counts()),
    };
  }

  /** Of dom0 and the players: the light guests' domains have ended, with nodes of the toolstack's that are not counted. */
  private withoutLight({ domains }: Counts): Counts {
    const stay = Object.entries(domains).filter(([key]) => !key.startsWith('light'));
    return { domains: Object.fromEntries(stay), nodes: 0 };
  }
}

const order =
  (command: Parameters<LightGuest['order']>[0]) =>
  (guest: LightGuest): Promise<void> => {
    guest.order(command);
    return Promise.resolve();
  };

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const noCounts = (): GapCounts => ({ frames: 0, gaps: 0, lost: 0, inserted: 0, places: [] });
