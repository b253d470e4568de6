// SPDX-License-Identifier: LGPL-2.1-or-later
import { messageOf } from '../../util/errors.js';
import { quoted } from '../../util/text.js';
import { standardError } from './errors.js';
import { INTROSPECTABLE, OBJECT_MANAGER, PEER, PROPERTIES, ROOT, type Interfaces } from './interfaces.js';
import type { InterfaceDescription, MethodDescription } from './introspection.js';
import { childrenOf, type BusObject, type Objects } from './objects.js';
import type { IncomingMessage } from './wire/message.js';
import type { DBusValue } from './wire/signature.js';

/** What a call is for, checked: it exists, and its arguments are of its types. */
export interface Target {
  readonly path: string;
  /** Undefined between the root and our objects. */
  readonly object: BusObject | undefined;
  /** Those of the object. */
  readonly interfaces: readonly InterfaceDescription[];
  readonly interface: string;
  readonly method: MethodDescription;
  readonly arguments: readonly DBusValue[];
}

/**
 * Finds what a message calls.
 * @throws DbusError UnknownObject, UnknownInterface, UnknownMethod, InvalidArgs, LimitsExceeded
 */
export const targetOf = (known: Interfaces, objects: Objects, message: IncomingMessage): Target => {
  const path = message.path ?? '/';
  const object = objects.get(path);
  const interfaces = interfacesAt(known, objects, path, message.interface);
  const named = message.interface;
  const candidates = named === undefined ? interfaces : interfaces.filter(({ name }) => name === named);
  if (candidates.length === 0) {
    throw standardError('UnknownInterface', `${path} has no interface ${quoted(named ?? '')}`);
  }
  const member = message.member ?? '';
  const found = candidates.find(({ methods }) => methods.has(member));
  const method = found?.methods.get(member);
  if (found === undefined || method === undefined) {
    throw standardError('UnknownMethod', `${named ?? path} has no method ${quoted(member)}`);
  }
  return { path, object, interfaces, interface: found.name, method, arguments: argumentsOf(message, method) };
};

const interfacesAt = (
  known: Interfaces,
  objects: Objects,
  path: string,
  wanted: string | undefined,
): InterfaceDescription[] => {
  const object = objects.get(path);
  if (object === undefined && childrenOf(objects, path) === undefined && wanted !== PEER) {
    throw standardError('UnknownObject', `there is no object ${quoted(path, 256)}: has its guest gone?`);
  }
  const names = [
    ...(object === undefined ? [] : [object.interface, PROPERTIES]),
    ...(path === ROOT ? [OBJECT_MANAGER] : []),
    ...[INTROSPECTABLE, PEER],
  ];
  return names.flatMap((name) => known.get(name) ?? []);
};

const argumentsOf = (message: IncomingMessage, method: MethodDescription): DBusValue[] => {
  if (!message.complete) throw standardError('LimitsExceeded', `the call of ${method.name} is too long`);
  if (message.signature !== method.inSignature) {
    throw standardError(
      'InvalidArgs',
      `${method.name} takes arguments of the types "${method.inSignature}", not ${quoted(message.signature)}`,
    );
  }
  try {
    return message.body();
  } catch (error) {
    throw standardError('InvalidArgs', `the arguments of ${method.name}: ${messageOf(error)}`);
  }
};
