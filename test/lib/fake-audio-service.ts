// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import path from 'node:path';
import { DBusError, interface as service, sessionBus, Variant, type MessageBus } from 'dbus-next';
import { paths } from './paths.js';

const NAME = 'org.xenproject.Audio1';
const ROOT = '/org/xenproject/Audio1';
const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';

type Values = Record<string, unknown>;
type Answer = (member: string, args: unknown[]) => unknown;

/** What packaging/dbus says of an interface, so that no test runs against anything else. */
const described = (
  name: string,
): { properties: Record<string, string>; methods: Record<string, string[]> } => {
  const xml = readFileSync(path.join(paths.root, 'packaging/dbus', `${NAME}.${name}.xml`), 'utf8');
  const properties: Record<string, string> = {};
  for (const [, property = '', type = ''] of xml.matchAll(/<property name="(\w+)" type="([^"]+)"/g)) {
    properties[property] = type;
  }
  const methods: Record<string, string[]> = {};
  for (const [, method = '', , body = ''] of xml.matchAll(
    /<method name="(\w+)"(\/>|>([\s\S]*?)<\/method>)/g,
  )) {
    const types = (direction: string): string =>
      [...body.matchAll(/type="([^"]+)" direction="(\w+)"/g)]
        .filter(([, , of]) => of === direction)
        .map(([, type]) => type)
        .join('');
    methods[method] = [types('in'), types('out')];
  }
  return { properties, methods };
};

/** Makes the class of an interface whose members are those described; `answer` does what its methods do. */
const classOf = (name: string): new (values: Values, answer: Answer) => service.Interface => {
  const { properties, methods } = described(name);
  class Described extends service.Interface {
    constructor(values: Values, answer: Answer) {
      super(`${NAME}.${name}`);
      for (const property of Object.keys(properties)) {
        Object.defineProperty(this, property, {
          get: () => values[property],
          set: (value: unknown) => {
            answer(`Set ${property}`, [value]);
            values[property] = value;
            service.Interface.emitPropertiesChanged(this, { [property]: value }, []);
          },
        });
      }
      Object.defineProperty(this, 'answer', { value: answer });
    }

    /** The signal of Guest1, which has a property of the same name. */
    ask(deadlineUsec: bigint): bigint {
      return deadlineUsec;
    }
  }
  for (const method of Object.keys(methods)) {
    Object.defineProperty(Described.prototype, method, {
      value(this: { answer: Answer }, ...args: unknown[]) {
        return this.answer(method, args);
      },
    });
  }
  Described.configureMembers({
    properties: Object.fromEntries(
      Object.entries(properties).map(([property, signature]) => [property, { signature }]),
    ),
    methods: Object.fromEntries(
      Object.entries(methods).map(([method, [inSignature = '', outSignature = '']]) => [
        method,
        { inSignature, outSignature },
      ]),
    ),
    signals: name === 'Guest1' ? { ask: { name: 'CaptureRequested', signature: 't' } } : {},
  });
  return Described;
};

class ObjectManager extends service.Interface {
  constructor(private readonly objects: () => unknown) {
    super(OBJECT_MANAGER);
  }

  GetManagedObjects(): unknown {
    return this.objects();
  }

  InterfacesAdded(objectPath: string, interfaces: unknown): unknown[] {
    return [objectPath, interfaces];
  }

  InterfacesRemoved(objectPath: string, interfaces: string[]): unknown[] {
    return [objectPath, interfaces];
  }
}
ObjectManager.configureMembers({
  methods: { GetManagedObjects: { outSignature: 'a{oa{sa{sv}}}' } },
  signals: { InterfacesAdded: { signature: 'oa{sa{sv}}' }, InterfacesRemoved: { signature: 'oas' } },
});

const MANAGER = {
  Version: '0.0.0',
  OwnDomain: 0,
  XenstoreUp: true,
  SoundServerUp: true,
  PolicyFile: '/etc/xen-audio/policy.yaml',
  PolicyError: '',
};

const GUEST = {
  Uuid: '',
  Name: 'work',
  Domid: 1,
  State: 'connected',
  PlaybackAllowed: true,
  PlaybackActive: false,
  CaptureRequested: false,
  CaptureAllowed: false,
  CaptureActive: false,
  CapturePolicy: 'ask',
  CaptureAllowedUntil: 0n,
  CaptureDeadline: 0n,
  Volume: 0.8,
  VolumeCap: 1,
  Mute: false,
  Sink: '',
  Source: '',
  LatencyUsec: 0n,
};

const STREAM = {
  Device: 'vsnd-0/0/0',
  Direction: 'playback',
  State: 'playing',
  Format: 's16_le',
  Rate: 48_000,
  Channels: 2,
  PositionFrames: 480_000n,
  Underruns: 0n,
  Overruns: 0n,
  LateBytes: 0n,
  LatencyUsec: 20_000n,
  Level: 0.5,
};

interface Exported {
  readonly kind: 'Guest1' | 'Stream1';
  readonly values: Values;
  readonly interface: service.Interface;
}

/** A xen-audiod without Xen and sound: its objects are what a test says. */
export class FakeAudioService {
  /** What was called and set, as `work AllowCaptureFor 60` and `Attach work kernel`. */
  readonly calls: string[] = [];
  /** Calls that fail, by member (`Set Volume` for a property): the error's last part and its text. */
  readonly failures = new Map<string, readonly [string, string]>();
  /** Calls that are never answered, by member. */
  readonly silent = new Set<string>();
  /** What ExplainPolicy says. */
  settings: [string, string, string][] = [];
  levels = 0;
  /** How often somebody asked for all objects. */
  pictures = 0;
  readonly #objects = new Map<string, Exported>();
  readonly #manager = new ObjectManager(() => this.#pictures());

  private constructor(private readonly bus: MessageBus) {}

  /** @param address of the bus */
  static async start(address: string): Promise<FakeAudioService> {
    const bus = sessionBus({ busAddress: address });
    const fake = new FakeAudioService(bus);
    bus.on('error', () => undefined); // a bus that goes is what some tests are about
    const Manager = classOf('Manager1');
    bus.export(ROOT, new Manager({ ...MANAGER }, (member, args) => fake.#manage(member, args)));
    bus.export(ROOT, fake.#manager);
    await bus.requestName(NAME);
    return fake;
  }

  /** Goes at once, as a daemon that is killed. */
  stop(): void {
    this.bus.disconnect();
    // Half closed it would go on reading, and throw where it cannot answer.
    (this.bus as unknown as { readonly _connection: { stream: Socket } })._connection.stream.destroy();
  }

  /** Resolves with the guest's path. */
  addGuest(id: string, values: Partial<Record<keyof typeof GUEST, unknown>> = {}): string {
    const guestPath = `${ROOT}/guest/${id}`;
    const all: Values = { ...GUEST, ...values };
    this.#add(guestPath, 'Guest1', all, (member, args) => this.#note(String(all['Name']), member, args));
    return guestPath;
  }

  /** A stream of a guest. */
  addStream(
    guestPath: string,
    id: string,
    values: Partial<Record<keyof typeof STREAM, unknown>> = {},
  ): string {
    const streamPath = `${guestPath}/${id}`;
    this.#add(streamPath, 'Stream1', { ...STREAM, ...values, Guest: guestPath }, () => undefined);
    return streamPath;
  }

  /** Takes an object away. */
  remove(objectPath: string): void {
    const { kind, interface: exported } = this.#object(objectPath);
    this.#objects.delete(objectPath);
    this.bus.unexport(objectPath, exported);
    this.#manager.InterfacesRemoved(objectPath, [`${NAME}.${kind}`]);
  }

  /** Changes properties of an object. */
  change(objectPath: string, values: Values): void {
    const object = this.#object(objectPath);
    Object.assign(object.values, values);
    service.Interface.emitPropertiesChanged(object.interface, values, []);
  }

  /** The guest asks for the microphone. */
  requestCapture(guestPath: string, deadlineUsec: bigint): void {
    this.change(guestPath, { CaptureRequested: true, CaptureDeadline: deadlineUsec });
    const guest = this.#object(guestPath).interface as unknown as { ask(deadlineUsec: bigint): void };
    guest.ask(deadlineUsec);
  }

  #object(objectPath: string): Exported {
    const object = this.#objects.get(objectPath);
    if (object === undefined) throw new Error(`no object ${objectPath}`);
    return object;
  }

  #add(objectPath: string, kind: Exported['kind'], values: Values, answer: Answer): void {
    const Class = classOf(kind);
    const exported = new Class(values, answer);
    this.bus.export(objectPath, exported);
    this.#objects.set(objectPath, { kind, values, interface: exported });
    this.#manager.InterfacesAdded(objectPath, this.#picture(kind, values));
  }

  #pictures(): Record<string, unknown> {
    this.pictures += 1;
    return Object.fromEntries(
      [...this.#objects].map(([objectPath, { kind, values }]) => [objectPath, this.#picture(kind, values)]),
    );
  }

  #picture(kind: Exported['kind'], values: Values): Record<string, Record<string, Variant>> {
    const { properties } = described(kind);
    const variants = Object.entries(properties).map(([property, signature]) => [
      property,
      new Variant(signature, values[property]),
    ]);
    return { [`${NAME}.${kind}`]: Object.fromEntries(variants) as Record<string, Variant> };
  }

  #note(guest: string | undefined, member: string, args: unknown[]): unknown {
    this.calls.push([...(guest === undefined ? [] : [guest]), member, ...args.map(String)].join(' '));
    const failure = this.failures.get(member);
    if (failure !== undefined) throw new DBusError(`${NAME}.Error.${failure[0]}`, failure[1]);
    return this.silent.has(member) ? new Promise(() => undefined) : undefined;
  }

  #manage(member: string, args: unknown[]): unknown {
    if (member === 'GetGuest') return this.#find(String(args[0]));
    const answer = this.#note(undefined, member, args);
    if (answer !== undefined) return answer;
    if (member === 'StartLevels') this.levels += 1;
    if (member === 'StopLevels') this.levels -= 1;
    if (member === 'Attach') return args[1] === 'kernel' ? [0] : [0, 1];
    return member === 'ExplainPolicy' ? this.settings : undefined;
  }

  #find(guest: string): string {
    this.#note(undefined, 'GetGuest', [guest]);
    const [found, second] = [...this.#objects].filter(
      ([, { kind, values }]) =>
        kind === 'Guest1' && [values['Name'], values['Uuid'], String(values['Domid'])].includes(guest),
    );
    if (second !== undefined)
      throw new DBusError(`${NAME}.Error.AmbiguousGuest`, `two guests are '${guest}'`);
    if (found !== undefined) return found[0];
    throw new DBusError(`${NAME}.Error.NoSuchGuest`, `no guest '${guest}' has a sound card`);
  }
}
