// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';
import { ApiError, type AudioApi } from '../../api/audio-api.js';
import { quoted } from '../../util/text.js';
import type { Action } from './authorise.js';
import type { Target } from './dispatch.js';
import { standardError } from './errors.js';
import { GUEST, MANAGER, PROPERTIES } from './interfaces.js';
import type { LevelWatchers } from './level-watchers.js';
import { guestPath, VOLUME_NORM } from './objects.js';
import { namedProperty } from './standard.js';
import { Variant, type DBusValue } from './wire/signature.js';

/** A call whose arguments are right. `run` does it, once the caller may. */
export interface Deed {
  /** Undefined: everyone may. */
  readonly action?: Action;
  run(): Promise<readonly DBusValue[]>;
}

/** What methods work on. */
export interface Workings {
  readonly api: AudioApi;
  readonly levels: LevelWatchers;
}

type Method = (workings: Workings, target: Target, caller: string) => Deed;

/**
 * What a call of one of our methods, or of Properties.Set, would do.
 * @throws ApiError InvalidArgument, OutOfRange; DbusError UnknownProperty, PropertyReadOnly, InvalidArgs
 */
export const deedOf = (workings: Workings, target: Target, caller: string): Deed => {
  const method = METHODS[`${target.interface}.${target.method.name}`];
  if (method === undefined) throw standardError('UnknownMethod', `${target.method.name} is not there`);
  return method(workings, target, caller);
};

const Guest = z.string();
const Layout = z.enum(['modules', 'kernel'], 'the layout is "modules" or "kernel"');
const Direction = z.enum(['playback', 'capture'], 'the direction is "playback" or "capture"');
const Seconds = z.number().min(1, 'at least 1 second').max(86_400, 'at most 86400 seconds, a day');
const Volume = z.number('a volume is a number').min(0, 'a volume is not negative');
const Nothing = z.tuple([]);

/** Parses with the error of the API that says what is wrong. */
const checked = <T>(schema: z.ZodType<T>, values: unknown, what: string): T => {
  const parsed = schema.safeParse(values);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  // Types were checked before: a number that zod takes for none is NaN or infinite.
  const isRange = issue?.code === 'too_small' || issue?.code === 'too_big' || issue?.code === 'invalid_type';
  throw new ApiError(isRange ? 'OutOfRange' : 'InvalidArgument', `${what}: ${issue?.message ?? 'wrong'}`);
};

/** A method whose arguments a schema checks. */
const method =
  <T>(
    action: Action | undefined,
    schema: z.ZodType<T>,
    run: (workings: Workings, values: T, target: Target, caller: string) => Promise<readonly DBusValue[]>,
  ): Method =>
  (workings, target, caller) => {
    const values = checked(schema, target.arguments, target.method.name);
    return { ...(action && { action }), run: () => run(workings, values, target, caller) };
  };

/** A method that returns nothing. */
const command = <T>(
  action: Action | undefined,
  schema: z.ZodType<T>,
  run: (workings: Workings, values: T, target: Target, caller: string) => Promise<void>,
): Method =>
  method(action, schema, async (...all) => {
    await run(...all);
    return [];
  });

const guestIdOf = ({ object, path }: Target): string => {
  if (object?.guestId !== undefined) return object.guestId;
  throw standardError('UnknownObject', `${path} is no guest`);
};

const ofManager: Readonly<Record<string, Method>> = {
  GetGuest: method(undefined, z.tuple([Guest]), ({ api }, [guest]) =>
    Promise.resolve([guestPath(api.findGuest(guest).id)]),
  ),
  Attach: method('manage', z.tuple([Guest, Layout]), async ({ api }, [guest, layout]) => [
    await api.attach(guest, layout),
  ]),
  Detach: command('manage', z.tuple([Guest, z.number()]), ({ api }, [guest, devid]) =>
    api.detach(guest, devid),
  ),
  PrepareSuspend: command('manage', z.tuple([Guest]), ({ api }, [guest]) => api.prepareSuspend(guest)),
  FinishSuspend: command('manage', z.tuple([Guest]), ({ api }, [guest]) => api.finishSuspend(guest)),
  Reload: command('manage', Nothing, ({ api }) => api.reload()),
  ExplainPolicy: method(undefined, z.tuple([Guest]), async ({ api }, [guest]) => [
    (await api.explainPolicy(guest)).map(({ setting, value, rule }) => [setting, value, rule]),
  ]),
  StartLevels: command('volume', Nothing, ({ levels }, _none, _target, caller) => levels.start(caller)),
  // Giving up what one has is refused to nobody.
  StopLevels: command(undefined, Nothing, ({ levels }, _none, _target, caller) => levels.stop(caller)),
};

const ofGuest: Readonly<Record<string, Method>> = {
  AllowCaptureOnce: command('capture', Nothing, ({ api }, _none, target) =>
    api.allowCaptureOnce(guestIdOf(target)),
  ),
  AllowCaptureFor: command('capture', z.tuple([Seconds]), ({ api }, [seconds], target) =>
    api.allowCaptureFor(guestIdOf(target), seconds),
  ),
  AllowCaptureAlways: command('capture', Nothing, ({ api }, _none, target) =>
    api.allowCaptureAlways(guestIdOf(target)),
  ),
  DenyCapture: command('capture', Nothing, ({ api }, _none, target) => api.denyCapture(guestIdOf(target))),
  SetRoute: command('route', z.tuple([Direction, z.string()]), ({ api }, [direction, device], target) =>
    api.setRoute(guestIdOf(target), direction, device),
  ),
};

const setVolume = ({ api }: Workings, target: Target, value: DBusValue): Deed => {
  const volume = checked(Volume, value, 'Volume');
  const cap = Number(target.object?.properties['VolumeCap']);
  if (volume > cap) throw new ApiError('OutOfRange', `Volume: ${volume} is above VolumeCap, which is ${cap}`);
  const guestId = guestIdOf(target);
  return { action: 'volume', run: () => api.setVolume(guestId, Math.round(volume * VOLUME_NORM)).then(none) };
};

const setMute = ({ api }: Workings, target: Target, value: DBusValue): Deed => {
  const guestId = guestIdOf(target);
  return { action: 'volume', run: () => api.setMute(guestId, value === true).then(none) };
};

const none = (): readonly DBusValue[] => [];

const SETTERS: Readonly<Record<string, typeof setVolume>> = { Volume: setVolume, Mute: setMute };

const setProperty: Method = (workings, target) => {
  const { name, writable, signature } = namedProperty(target);
  const set = SETTERS[name];
  if (!writable || set === undefined) throw standardError('PropertyReadOnly', `${name} can only be read`);
  const value = target.arguments[2];
  if (!(value instanceof Variant) || value.signature !== signature) {
    const found = value instanceof Variant ? quoted(value.signature) : 'none';
    throw standardError('InvalidArgs', `${name} is of the type "${signature}", not ${found}`);
  }
  return set(workings, target, value.value);
};

const prefixed = (name: string, methods: Readonly<Record<string, Method>>): [string, Method][] =>
  Object.entries(methods).map(([member, implementation]) => [`${name}.${member}`, implementation]);

const METHODS: Readonly<Record<string, Method>> = Object.fromEntries([
  ...prefixed(MANAGER, ofManager),
  ...prefixed(GUEST, ofGuest),
  ...prefixed(PROPERTIES, { Set: setProperty }),
]);

/** `interface.member` of every method that is served here, for the test that none is missing. */
export const servedMethods = (): string[] => Object.keys(METHODS);
