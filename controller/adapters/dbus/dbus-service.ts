// SPDX-License-Identifier: LGPL-2.1-or-later
import { ApiError, type AudioApi } from '../../api/audio-api.js';
import type { ClockPort, LogPort } from '../../device/ports.js';
import { messageOf } from '../../util/errors.js';
import { withTimeout } from '../../util/timeout.js';
import {
  authorise,
  GROUP,
  readMembership,
  SYSTEM_ACCOUNTS,
  type AccountFiles,
  type Action,
} from './authorise.js';
import type { BusConnection } from './bus-connection.js';
import { BusLink } from './bus-link.js';
import { Callers } from './callers.js';
import { signalsBetween } from './changes.js';
import { targetOf } from './dispatch.js';
import { apiError, DbusError } from './errors.js';
import { GUEST, loadInterfaces, type Interfaces } from './interfaces.js';
import { LevelWatchers } from './level-watchers.js';
import { deedOf } from './methods.js';
import { guestPath, objectsOf, type Objects } from './objects.js';
import { askPolkit, POLKIT_LIMITS, type PolkitLimits } from './polkit.js';
import { answerStandard } from './standard.js';
import { addressOf, type BusName } from './wire/address.js';
import {
  FLAG_ALLOW_INTERACTIVE_AUTHORIZATION,
  FLAG_NO_REPLY_EXPECTED,
  type IncomingMessage,
  type OutgoingMessage,
} from './wire/message.js';
import type { DBusValue } from './wire/signature.js';
import type { SleepWatch } from '../login1/sleep-watch.js';

const TOPIC = 'dbus';
const LEVELS_OFF_TIMEOUT_MS = 300;
/** All guests are compared for each change that is told; nobody sees so short a time. */
const PUBLISH_MS = 40;

/** Who may do more than read; see `authorise`. */
export interface AccessRules {
  /** A user that may do everything beside root. */
  readonly ownUid: number | undefined;
  /** Whether polkit on this bus is to be believed: anybody can take its name on a bus of a user's. */
  readonly polkit: boolean;
  readonly polkitLimits: PolkitLimits;
  readonly accounts: AccountFiles;
}

export interface DbusServiceOptions {
  readonly bus: BusName;
  readonly api: AudioApi;
  readonly log: LogPort;
  readonly clock: ClockPort;
  /** Told of the connection, and of signals on it. */
  readonly sleep?: Pick<SleepWatch, 'attach' | 'detach' | 'signal'>;
  /** Where it differs from what befits the bus: polkit on the system's, the daemon's own user on any other. */
  readonly access?: Partial<AccessRules>;
}

/**
 * Serves the API as org.xenproject.Audio1, as packaging/dbus/*.xml describe it. The bus may come late, go and come back.
 */
export class DbusService {
  readonly #link: BusLink;
  readonly #access: AccessRules;
  readonly #callers = new Callers();
  readonly #levels: LevelWatchers;
  readonly #watched = new Set<string>();
  /** Calls that wait for their answers. */
  readonly #unanswered = new Map<IncomingMessage, BusConnection>();
  #interfaces: Interfaces = new Map();
  /** What was said last; what is, unless `#isOld`. */
  #objects: Objects = new Map();
  #isOld = true;
  /** The connection that has the name. */
  #owner: BusConnection | undefined;
  /** The connection that calls come by. */
  #bus: BusConnection | undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(private readonly options: DbusServiceOptions) {
    const { api, bus, clock, log, access } = options;
    const isSystem = bus === 'system';
    this.#access = {
      ...{ ownUid: isSystem ? undefined : process.geteuid?.(), polkit: isSystem },
      ...{ polkitLimits: POLKIT_LIMITS, accounts: SYSTEM_ACCOUNTS, ...access },
    };
    this.#levels = new LevelWatchers(
      (wanted) => api.showLevels(wanted),
      (caller) => this.#watch(caller),
      (caller) => {
        this.#unwatch(caller);
      },
    );
    this.#link = new BusLink(addressOf(bus, process.env), this.#linkEvents(), clock, log);
  }

  /** Tries to connect once; a bus that is down is tried again later. Never throws: sound works without a bus. */
  async start(): Promise<void> {
    const { api, log } = this.options;
    try {
      this.#interfaces = await loadInterfaces();
    } catch (error) {
      log.error(TOPIC, `desktop tools find nothing on D-Bus: ${messageOf(error)}`);
      return;
    }
    this.#unsubscribe = api.subscribe({
      changed: () => {
        this.#changed();
      },
      captureRequested: (guestId, deadlineUsec) => {
        this.#captureRequested(guestId, deadlineUsec);
      },
    });
    await this.#link.start();
  }

  /** Answers what waits with an error, gives the name back and disconnects, within a second. Never throws. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#owner = undefined;
    for (const [message, bus] of this.#unanswered) {
      this.#fail(bus, message, new ApiError('Failed', 'xen-audiod stops; whether it was done is not known'));
    }
    await Promise.all([this.#levelsOff(), this.#link.stop()]);
  }

  #linkEvents(): ConstructorParameters<typeof BusLink>[1] {
    return {
      call: (bus, message) => {
        this.#bus = bus;
        void this.#answer(bus, message);
      },
      busSignal: (_bus, message) => {
        this.#busSignal(message);
        this.options.sleep?.signal(message);
      },
      signal: (message) => {
        this.options.sleep?.signal(message);
      },
      owned: (bus) => {
        this.#publish();
        this.#owner = bus;
        this.options.sleep?.attach(bus);
      },
      disowned: () => {
        this.#owner = undefined;
      },
      lost: () => {
        this.options.sleep?.detach();
        this.#bus = undefined;
        this.#unanswered.clear();
        this.#watched.clear();
        void this.#levelsOff();
      },
    };
  }

  /** Never throws: whatever goes wrong is the answer. */
  async #answer(bus: BusConnection, message: IncomingMessage): Promise<void> {
    if (message.sender === undefined) return;
    this.#unanswered.set(message, bus);
    try {
      const [signature, body] = await this.#perform(bus, message, message.sender);
      this.#reply(bus, message, { type: 'return', signature, body });
    } catch (error) {
      this.#fail(bus, message, error);
    }
  }

  async #perform(
    bus: BusConnection,
    message: IncomingMessage,
    caller: string,
  ): Promise<[string, readonly DBusValue[]]> {
    this.#publish();
    const target = targetOf(this.#interfaces, this.#objects, message);
    const { outSignature, name } = target.method;
    const read = answerStandard(this.#interfaces, this.#objects, target);
    if (read !== undefined) return [outSignature, await read];
    const deed = deedOf({ api: this.options.api, levels: this.#levels }, target, caller);
    const { action } = deed;
    const leave = async (): Promise<void> => {
      if (action !== undefined)
        await this.#authorise(bus, message, caller, action, `${target.interface}.${name}`);
    };
    return [outSignature, await this.#callers.run(caller, action ?? 'reading', leave, () => deed.run())];
  }

  async #authorise(
    bus: BusConnection,
    message: IncomingMessage,
    caller: string,
    action: Action,
    what: string,
  ): Promise<void> {
    const { ownUid, polkit, polkitLimits, accounts } = this.#access;
    // Not Number, for which an empty text is 0.
    const uid = Number.parseInt(await bus.askBus('GetConnectionUnixUser', 's', caller), 10);
    const interactive = (message.flags & FLAG_ALLOW_INTERACTIVE_AUTHORIZATION) !== 0;
    await authorise(action, what, {
      ...{ uid, ownUid },
      polkit: () =>
        polkit ? askPolkit(bus, caller, action, interactive, polkitLimits) : Promise.resolve('absent'),
      isGroupMember: () => readMembership(uid, GROUP, accounts),
    });
  }

  #fail(bus: BusConnection, message: IncomingMessage, error: unknown): void {
    const { log } = this.options;
    const { member = '', sender = '' } = message;
    const answer = error instanceof ApiError ? apiError(error) : error;
    if (answer instanceof DbusError) {
      log.debug(TOPIC, () => `${member} of ${sender}: ${answer.errorName}: ${answer.message}`);
      this.#reply(bus, message, errorOf(answer));
      return;
    }
    log.warning(TOPIC, `${member} of ${sender} failed: ${messageOf(error)}`);
    this.#reply(bus, message, errorOf(apiError(new ApiError('Failed', messageOf(error)))));
  }

  /** Answers a call once, with an error when the answer cannot be written. */
  #reply(bus: BusConnection, message: IncomingMessage, reply: OutgoingMessage): void {
    if (!this.#unanswered.delete(message) || (message.flags & FLAG_NO_REPLY_EXPECTED) !== 0) return;
    const { sender, serial } = message;
    const address = {
      ...{ replySerial: serial, flags: FLAG_NO_REPLY_EXPECTED },
      ...(sender !== undefined && { destination: sender }),
    };
    if (this.#send(bus, { ...reply, ...address })) return;
    const failure = apiError(
      new ApiError('Failed', 'the answer cannot be written; see the log of xen-audiod'),
    );
    this.#send(bus, { ...errorOf(failure), ...address });
  }

  /** Returns whether it could be written. */
  #send(bus: BusConnection, message: OutgoingMessage): boolean {
    try {
      bus.send(message);
      return true;
    } catch (error) {
      const what = `${message.type} ${message.member ?? ''} ${message.path ?? ''}`;
      this.options.log.error(TOPIC, `cannot be sent: ${what}: ${messageOf(error)}`);
      return false;
    }
  }

  /** Several changes within a moment are one; who asks meanwhile is told first. */
  #changed(): void {
    if (this.#isOld) return;
    this.#isOld = true;
    this.options.clock.after(PUBLISH_MS, () => {
      this.#publish();
    });
  }

  /** Tells the bus what has changed since it was told last. */
  #publish(): void {
    if (!this.#isOld) return;
    const { api } = this.options;
    const before = this.#objects;
    this.#objects = objectsOf(api.manager(), api.guests());
    this.#isOld = false;
    const owner = this.#owner;
    if (owner === undefined) return;
    for (const signal of signalsBetween(this.#interfaces, before, this.#objects)) this.#send(owner, signal);
  }

  #captureRequested(guestId: string, deadlineUsec: bigint): void {
    this.#isOld = true;
    this.#publish();
    const path = guestPath(guestId);
    if (this.#owner === undefined || !this.#objects.has(path)) return;
    const signal = { type: 'signal', path, interface: GUEST, member: 'CaptureRequested' } as const;
    this.#send(this.#owner, { ...signal, signature: 't', body: [deadlineUsec] });
  }

  #busSignal(message: IncomingMessage): void {
    if (message.member !== 'NameOwnerChanged') return;
    const [name, , owner] = message.body().map(String);
    if (name === undefined || owner !== '' || !this.#watched.has(name)) return;
    this.#levels.left(name).catch((error: unknown) => {
      this.options.log.warning(TOPIC, `levels stay on: ${messageOf(error)}`);
    });
  }

  /** Asks the bus to say when a caller leaves. Resolves with whether it is still there. */
  async #watch(caller: string): Promise<boolean> {
    const bus = this.#bus;
    if (bus === undefined) return false;
    if (this.#watched.has(caller)) return true;
    this.#watched.add(caller);
    await bus.callBus('AddMatch', 's', matchOf(caller));
    return (await bus.askBus('NameHasOwner', 's', caller)) === 'true';
  }

  #unwatch(caller: string): void {
    if (!this.#watched.delete(caller)) return;
    // Fails when the bus has gone, and the match with it.
    this.#bus?.callBus('RemoveMatch', 's', matchOf(caller)).catch(() => undefined);
  }

  async #levelsOff(): Promise<void> {
    try {
      await withTimeout(this.#levels.clear(), LEVELS_OFF_TIMEOUT_MS, 'turning levels off');
    } catch (error) {
      this.options.log.warning(TOPIC, `levels stay on: ${messageOf(error)}`);
    }
  }
}

const matchOf = (caller: string): string =>
  `type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${caller}'`;

const errorOf = ({ errorName, message }: DbusError): OutgoingMessage => ({
  ...{ type: 'error', errorName },
  ...{ signature: 's', body: [message] },
});
