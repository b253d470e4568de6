// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';

import type { ApiEvents } from '../../controller/api/audio-api.js';
import { DeviceRegistry } from '../../controller/device/registry.js';
import type { Guest } from '../../controller/guest/guest.js';
import { Guests } from '../../controller/guest/guests.js';
import type { GuestPolicy } from '../../controller/policy/evaluate.js';
import { DaemonConfig } from '../../schemas/config.js';
import type { GuestRecord } from '../../schemas/guest-record.js';
import { FakeClock, FakeLog, FakePulse, FakeXenstore, settle } from './fake-ports.js';
import { policyWith } from './policies.js';

export const BACKEND = '/local/domain/0/backend/vsnd';
export const CONTROL = '/local/domain/0/data/xen-audio';
export const HOLD_MS = 250;
/** A second stream with rings of its own. */
export const CAPTURE_STREAM = {
  type: 'c',
  'ring-ref': '18',
  'event-channel': '21',
  'evt-ring-ref': '19',
  'evt-event-channel': '22',
};
export const UUID = '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10';
/** Guest 7 is the one whose UUID tests know. */
export const uuidOf = (domid: number): string =>
  domid === 7 ? UUID : `${UUID.slice(0, 24)}${String(domid).padStart(12, '0')}`;
export const frontend = (domid: number, devid = 0): string => `/local/domain/${domid}/device/vsnd/${devid}`;
export const backend = (domid: number, devid = 0): string => `${BACKEND}/${domid}/${devid}`;

/** One dom0 with fakes at its edges. */
export class FakeDom0 {
  readonly clock = new FakeClock();
  readonly log = new FakeLog();
  readonly xenstore = new FakeXenstore();
  readonly pulse = new FakePulse();
  readonly records = new Map<string, GuestRecord>();
  /** What guests asked for the microphone, and how often somebody was told of a change. */
  readonly asked: string[] = [];
  changes = 0;
  /** What policy says of a guest, by its name; of all others nothing. */
  policies: Readonly<Record<string, Partial<GuestPolicy>>> = {};
  /** What is kept of suspends from before the guests. */
  suspendedDomidOf: (id: string) => number | undefined = () => undefined;
  guests: Guests;
  registry: DeviceRegistry;

  constructor(private readonly settings: object = {}) {
    this.guests = this.#makeGuests();
    this.registry = this.#makeRegistry();
  }

  /** Puts another policy in force. */
  async setPolicies(policies: Readonly<Record<string, Partial<GuestPolicy>>>): Promise<void> {
    this.policies = policies;
    await this.guests.policyChanged();
    await settle();
  }

  /** A guest by its name. */
  guest(name: string): Guest {
    return this.guests.all.find(({ identity }) => identity.name === name) ?? assert.fail(`no guest ${name}`);
  }

  /** As a controller that ended and was started again. */
  async restart(): Promise<void> {
    await this.registry.stop();
    this.guests = this.#makeGuests();
    this.registry = this.#makeRegistry();
    await this.registry.start();
    await settle();
  }

  /** As the toolstack makes a domain with one card. */
  addCard(domid: number, devid = 0, uuid = uuidOf(domid)): void {
    this.xenstore.introduced.add(domid);
    this.xenstore.putAll(`/local/domain/${domid}`, { name: `guest${domid}`, vm: `/vm/${uuid}` });
    this.xenstore.putAll(frontend(domid, devid), { state: '1', '0/0/type': 'p', 'sample-rates': '48000' });
    const nodes = { frontend: frontend(domid, devid), online: '1', state: '1' };
    this.xenstore.putAll(backend(domid, devid), nodes);
  }

  /** As a frontend that saw 2 answers. */
  publish(domid: number, nodes: Readonly<Record<string, string>> = {}, devid = 0): void {
    const rings = { 'ring-ref': '8', 'event-channel': '11', 'evt-ring-ref': '9', 'evt-event-channel': '12' };
    this.xenstore.putAll(`${frontend(domid, devid)}/0/0`, { ...rings, ...nodes });
    this.xenstore.put(`${frontend(domid, devid)}/state`, '3');
  }

  /** @param nodes what its frontend publishes of itself; Linux's driver nothing */
  async connectCard(domid: number, nodes: Readonly<Record<string, string>> = {}): Promise<void> {
    this.addCard(domid);
    this.xenstore.putAll(frontend(domid), nodes);
    await this.#connect(domid);
  }

  /** A frontend whose card has been let go connects it anew. */
  async connectAgain(domid: number): Promise<void> {
    await this.#connect(domid);
  }

  state(domid: number, devid = 0): string | undefined {
    return this.xenstore.nodes.get(`${backend(domid, devid)}/state`);
  }

  states(domid: number): string {
    return this.xenstore.valuesOf(`${backend(domid)}/state`).join(' ');
  }

  /** A connected card that plays as stream 0/0 and records as stream 0/1. */
  async connectCaptureCard(domid: number, nodes: Readonly<Record<string, string>> = {}): Promise<void> {
    this.addCard(domid);
    this.xenstore.putAll(frontend(domid), nodes);
    this.xenstore.putAll(`${frontend(domid)}/0/1`, CAPTURE_STREAM);
    await this.#connect(domid);
  }

  /** As the module of a stream says what it does; the capture stream is 1. */
  async report(domid: number, nodes: Readonly<Record<string, string>>, stream = 1): Promise<void> {
    this.xenstore.putAll(`${CONTROL}/${domid}/0/0/${stream}`, nodes);
    await settle();
  }

  mayRecord(domid: number): string | undefined {
    return this.xenstore.nodes.get(`${CONTROL}/${domid}/0/0/1/capture`);
  }

  controlNodes(): string[] {
    return [...this.xenstore.nodes.keys()].filter((path) => path.startsWith(CONTROL));
  }

  async #connect(domid: number): Promise<void> {
    await this.clock.advance(0);
    this.publish(domid);
    await this.clock.advance(HOLD_MS);
    this.xenstore.put(`${frontend(domid)}/state`, '4');
    await settle();
    assert.equal(this.state(domid), '4');
  }

  #makeRegistry(): DeviceRegistry {
    const { clock, log, xenstore, pulse } = this;
    const config = DaemonConfig.parse(this.settings);
    return new DeviceRegistry({ ownDomid: 0, config, xenstore, pulse, clock, log, guests: this.guests });
  }

  #makeGuests(): Guests {
    const { clock, log, xenstore, records } = this;
    const events: ApiEvents = {
      changed: () => (this.changes += 1),
      captureRequested: (id) => this.asked.push(id),
    };
    return new Guests({
      clock,
      log,
      xenstore,
      events,
      levels: false,
      records: {
        read: (uuid) => records.get(uuid) ?? {},
        write: (uuid, record) => records.set(uuid, record),
      },
      policyOf: ({ xenName }) => policyWith(this.policies[xenName] ?? {}),
      suspendedDomidOf: (id) => this.suspendedDomidOf(id),
    });
  }
}
