// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFile } from 'node:fs/promises';
import { quoted } from '../../util/text.js';
import { propertyDictionary } from './changes.js';
import type { Target } from './dispatch.js';
import { standardError } from './errors.js';
import { INTROSPECTABLE, OBJECT_MANAGER, PEER, PROPERTIES, ROOT, type Interfaces } from './interfaces.js';
import { introspectionOf, type PropertyDescription } from './introspection.js';
import { childrenOf, type Objects } from './objects.js';
import { Variant, type DBusValue } from './wire/signature.js';

/**
 * Answers a method of D-Bus' own interfaces that only reads; undefined for any other.
 * @throws DbusError UnknownInterface, UnknownProperty
 */
export const answerStandard = (
  interfaces: Interfaces,
  objects: Objects,
  target: Target,
): DBusValue[] | Promise<DBusValue[]> | undefined => {
  switch (`${target.interface}.${target.method.name}`) {
    case `${INTROSPECTABLE}.Introspect`:
      return [introspectionOf(target.interfaces, childrenOf(objects, target.path) ?? [])];
    case `${PEER}.Ping`:
      return [];
    case `${PEER}.GetMachineId`:
      return machineId();
    case `${PROPERTIES}.Get`:
      return [readProperty(target)];
    case `${PROPERTIES}.GetAll`:
      return [readAll(interfaces, target)];
    case `${OBJECT_MANAGER}.GetManagedObjects`:
      return [managedObjects(interfaces, objects)];
    default:
      return undefined;
  }
};

/** The property that the first two arguments of Get and Set name. @throws DbusError UnknownInterface, UnknownProperty */
export const namedProperty = (target: Target): PropertyDescription => {
  const [owner, name] = target.arguments.map(String);
  const property = candidates(target, owner ?? '')
    .find(({ properties }) => properties.has(name ?? ''))
    ?.properties.get(name ?? '');
  if (property !== undefined) return property;
  throw standardError('UnknownProperty', `${target.path} has no property ${quoted(name ?? '')} there`);
};

/** The interfaces that an argument names; an empty one stands for all. */
const candidates = (target: Target, owner: string): Target['interfaces'] => {
  const found = target.interfaces.filter(({ name }) => owner === '' || name === owner);
  if (found.length > 0) return found;
  throw standardError('UnknownInterface', `${target.path} has no interface ${quoted(owner)}`);
};

const readProperty = (target: Target): Variant => {
  const { name, signature } = namedProperty(target);
  return new Variant(signature, target.object?.properties[name] ?? '');
};

const readAll = (interfaces: Interfaces, target: Target): DBusValue[] => {
  const [owner] = target.arguments.map(String);
  const { object } = target;
  const wanted = candidates(target, owner ?? '').some(({ name }) => name === object?.interface);
  return wanted && object !== undefined ? propertyDictionary(interfaces, object) : [];
};

const managedObjects = (interfaces: Interfaces, objects: Objects): DBusValue[] =>
  [...objects]
    .filter(([path]) => path !== ROOT)
    .map(([path, object]) => [path, [[object.interface, propertyDictionary(interfaces, object)]]]);

let machineIdRead: Promise<DBusValue[]> | undefined;

/** Read once: those who ask again and again cost nothing. */
const machineId = (): Promise<DBusValue[]> =>
  (machineIdRead ??= readFile('/etc/machine-id', 'utf8').then(
    (text) => [text.trim()],
    () => {
      throw standardError('Failed', '/etc/machine-id cannot be read; systemd-machine-id-setup makes it');
    },
  ));
