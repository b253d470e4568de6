// SPDX-License-Identifier: LGPL-2.1-or-later
import { OBJECT_MANAGER, PROPERTIES, ROOT, type Interfaces } from './interfaces.js';
import type { BusObject, Objects } from './objects.js';
import type { OutgoingMessage } from './wire/message.js';
import { Variant, type DBusValue } from './wire/signature.js';

/** A dictionary of properties, `a{sv}`. */
export const propertyDictionary = (interfaces: Interfaces, object: BusObject): DBusValue[] =>
  Object.entries(object.properties).map(([name, value]) => [name, variant(interfaces, object, name, value)]);

/** What to signal so that who knew `before` knows `after`: what is gone, what is new, what is another. */
export const signalsBetween = (
  interfaces: Interfaces,
  before: Objects,
  after: Objects,
): OutgoingMessage[] => {
  const removed: OutgoingMessage[] = [];
  const added: OutgoingMessage[] = [];
  const changed: OutgoingMessage[] = [];
  for (const [path, object] of before) {
    const now = after.get(path);
    if (now === undefined || isAnother(interfaces, object, now)) removed.unshift(removedSignal(path, object));
  }
  for (const [path, object] of after) {
    const then = before.get(path);
    if (then === undefined || isAnother(interfaces, then, object))
      added.push(addedSignal(interfaces, path, object));
    else changed.push(...changedSignal(interfaces, path, then, object));
  }
  return [...removed, ...added, ...changed];
};

/** What never changes of an object has changed: another object has taken its path. */
const isAnother = (interfaces: Interfaces, before: BusObject, after: BusObject): boolean =>
  before.interface !== after.interface ||
  changedNames(before, after).some((name) => emitsChanged(interfaces, after, name) === 'const');

const changedNames = (before: BusObject, after: BusObject): string[] =>
  Object.keys(after.properties).filter((name) => before.properties[name] !== after.properties[name]);

const emitsChanged = (interfaces: Interfaces, object: BusObject, name: string): string | undefined =>
  interfaces.get(object.interface)?.properties.get(name)?.emitsChanged;

const removedSignal = (path: string, object: BusObject): OutgoingMessage => ({
  ...{ type: 'signal', path: ROOT, interface: OBJECT_MANAGER, member: 'InterfacesRemoved' },
  signature: 'oas',
  body: [path, [object.interface]],
});

const addedSignal = (interfaces: Interfaces, path: string, object: BusObject): OutgoingMessage => ({
  ...{ type: 'signal', path: ROOT, interface: OBJECT_MANAGER, member: 'InterfacesAdded' },
  signature: 'oa{sa{sv}}',
  body: [path, [[object.interface, propertyDictionary(interfaces, object)]]],
});

const changedSignal = (
  interfaces: Interfaces,
  path: string,
  before: BusObject,
  after: BusObject,
): OutgoingMessage[] => {
  const names = changedNames(before, after);
  const withValue = names.filter((name) => emitsChanged(interfaces, after, name) === 'true');
  const invalidated = names.filter((name) => emitsChanged(interfaces, after, name) === 'invalidates');
  if (withValue.length + invalidated.length === 0) return [];
  const values = withValue.map((name) => [
    name,
    variant(interfaces, after, name, after.properties[name] ?? ''),
  ]);
  return [
    {
      ...{ type: 'signal', path, interface: PROPERTIES, member: 'PropertiesChanged' },
      signature: 'sa{sv}as',
      body: [after.interface, values, invalidated],
    },
  ];
};

const variant = (interfaces: Interfaces, object: BusObject, name: string, value: DBusValue): Variant => {
  const signature = interfaces.get(object.interface)?.properties.get(name)?.signature;
  if (signature === undefined) throw new Error(`${object.interface} has no property ${name}`);
  return new Variant(signature, value);
};
