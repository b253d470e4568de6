// SPDX-License-Identifier: LGPL-2.1-or-later

/** What a change of a property says; `const` and `false` say nothing. */
export type EmitsChanged = 'true' | 'invalidates' | 'const' | 'false';

export interface PropertyDescription {
  readonly name: string;
  readonly signature: string;
  readonly writable: boolean;
  readonly emitsChanged: EmitsChanged;
}

export interface MethodDescription {
  readonly name: string;
  readonly inSignature: string;
  readonly outSignature: string;
}

export interface SignalDescription {
  readonly name: string;
  readonly signature: string;
}

/** An interface as its XML describes it. */
export interface InterfaceDescription {
  readonly name: string;
  readonly properties: ReadonlyMap<string, PropertyDescription>;
  readonly methods: ReadonlyMap<string, MethodDescription>;
  readonly signals: ReadonlyMap<string, SignalDescription>;
  /** The element itself, comments included, as the file has it. */
  readonly xml: string;
}

interface Element {
  readonly tag: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: Element[];
}

/**
 * Reads the interfaces out of introspection data. It knows what such data consist of, elements, attributes and comments, and is
 * for files of our own.
 * @throws Error that says what is wrong
 */
export const parseInterfaces = (text: string): InterfaceDescription[] =>
  [...text.matchAll(/<interface\b[\s\S]*?<\/interface>/g)].map(([xml]) => {
    const [root] = parseElements(withoutComments(xml));
    if (root === undefined) throw new Error('an interface is empty');
    return describe(root, xml);
  });

const withoutComments = (text: string): string => text.replace(/<!--[\s\S]*?-->/g, '');

const ELEMENT = /<(\/?)([A-Za-z]+)((?:\s+[A-Za-z]+="[^"]*")*)\s*(\/?)>/g;

const parseElements = (text: string): Element[] => {
  const top: Element = { tag: '', attributes: new Map(), children: [] };
  const open = [top];
  for (const [whole, closing, tag = '', attributes = '', empty] of text.matchAll(ELEMENT)) {
    const parent = open.at(-1) ?? top;
    if (closing === '/') {
      if (open.pop()?.tag !== tag) throw new Error(`${whole} closes nothing`);
      continue;
    }
    const pairs = [...attributes.matchAll(/([A-Za-z]+)="([^"]*)"/g)];
    const element = {
      tag,
      attributes: new Map(pairs.map(([, name = '', value = '']) => [name, value])),
      children: [],
    };
    parent.children.push(element);
    if (empty !== '/') open.push(element);
  }
  if (open.length !== 1) throw new Error(`<${open.at(-1)?.tag ?? ''}> is not closed`);
  return top.children;
};

const describe = (root: Element, xml: string): InterfaceDescription => {
  const all = (tag: string): Element[] => root.children.filter((child) => child.tag === tag);
  const unset = emitsChangedOf(root) ?? 'true';
  return {
    name: attribute(root, 'name'),
    xml,
    properties: byName(
      all('property').map((element) => ({
        name: attribute(element, 'name'),
        signature: attribute(element, 'type'),
        writable: attribute(element, 'access') === 'readwrite',
        emitsChanged: emitsChangedOf(element) ?? unset,
      })),
    ),
    methods: byName(
      all('method').map((element) => ({
        name: attribute(element, 'name'),
        inSignature: signatureOf(element, 'in'),
        outSignature: signatureOf(element, 'out'),
      })),
    ),
    signals: byName(
      all('signal').map((element) => ({
        name: attribute(element, 'name'),
        signature: signatureOf(element, undefined),
      })),
    ),
  };
};

const byName = <T extends { readonly name: string }>(items: readonly T[]): ReadonlyMap<string, T> =>
  new Map(items.map((item) => [item.name, item]));

const attribute = (element: Element, name: string): string => {
  const value = element.attributes.get(name);
  if (value === undefined) throw new Error(`<${element.tag}> has no ${name}`);
  return value;
};

const signatureOf = (element: Element, direction: 'in' | 'out' | undefined): string =>
  element.children
    .filter((child) => child.tag === 'arg' && child.attributes.get('direction') === direction)
    .map((child) => attribute(child, 'type'))
    .join('');

const EMITS_CHANGED = 'org.freedesktop.DBus.Property.EmitsChangedSignal';

const emitsChangedOf = (element: Element): EmitsChanged | undefined => {
  const annotation = element.children.find(
    (child) => child.tag === 'annotation' && child.attributes.get('name') === EMITS_CHANGED,
  );
  const value = annotation?.attributes.get('value');
  if (value === undefined || value === 'true' || value === 'invalidates') return value;
  if (value === 'const' || value === 'false') return value;
  throw new Error(`${EMITS_CHANGED} is "${value}"`);
};

/** Introspection data of an object: its interfaces, and the names of the objects right below it. */
export const introspectionOf = (
  interfaces: readonly InterfaceDescription[],
  children: readonly string[],
): string =>
  [
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"',
    '  "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">',
    '<node>',
    ...interfaces.map((description) => `  ${description.xml}`),
    ...children.map((name) => `  <node name="${name}"/>`),
    '</node>\n',
  ].join('\n');
