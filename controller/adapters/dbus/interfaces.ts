// SPDX-License-Identifier: LGPL-2.1-or-later
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, XenAudioError } from '../../util/errors.js';
import { parseInterfaces, type InterfaceDescription } from './introspection.js';

export const NAME = 'org.xenproject.Audio1';
export const ROOT = '/org/xenproject/Audio1';
export const MANAGER = 'org.xenproject.Audio1.Manager1';
export const GUEST = 'org.xenproject.Audio1.Guest1';
export const STREAM = 'org.xenproject.Audio1.Stream1';
export const INTROSPECTABLE = 'org.freedesktop.DBus.Introspectable';
export const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';
export const PEER = 'org.freedesktop.DBus.Peer';
export const PROPERTIES = 'org.freedesktop.DBus.Properties';

/** Interfaces of D-Bus' specification; nobody installs files of them. */
const STANDARD = `
<interface name="${INTROSPECTABLE}">
    <method name="Introspect"><arg name="xml_data" type="s" direction="out"/></method>
  </interface>
<interface name="${PEER}">
    <method name="Ping"/>
    <method name="GetMachineId"><arg name="machine_uuid" type="s" direction="out"/></method>
  </interface>
<interface name="${PROPERTIES}">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="properties" type="a{sv}" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/>
      <arg name="changed_properties" type="a{sv}"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
<interface name="${OBJECT_MANAGER}">
    <method name="GetManagedObjects">
      <arg name="objects" type="a{oa{sa{sv}}}" direction="out"/>
    </method>
    <signal name="InterfacesAdded">
      <arg name="object" type="o"/>
      <arg name="interfaces" type="a{sa{sv}}"/>
    </signal>
    <signal name="InterfacesRemoved">
      <arg name="object" type="o"/>
      <arg name="interfaces" type="as"/>
    </signal>
  </interface>`;

/** All interfaces that are served, by name. */
export type Interfaces = ReadonlyMap<string, InterfaceDescription>;

/**
 * Reads the interfaces from their files, from `packaging/dbus` above the program or from where they are installed.
 * @throws XenAudioError `config`
 */
export const loadInterfaces = async (): Promise<Interfaces> => {
  const descriptions = parseInterfaces(STANDARD);
  for (const name of [MANAGER, GUEST, STREAM]) {
    const text = await readFirst(`${name}.xml`);
    try {
      descriptions.push(...parseInterfaces(text));
    } catch (error) {
      throw new XenAudioError('config', `${name}.xml: ${messageOf(error)}`, { cause: error });
    }
  }
  return new Map(descriptions.map((description) => [description.name, description]));
};

const readFirst = async (file: string): Promise<string> => {
  const directories = [...above(import.meta.dirname), '/usr/share/dbus-1/interfaces'];
  for (const directory of directories) {
    try {
      return await readFile(join(directory, file), 'utf8');
    } catch {
      // Not there: the next place.
    }
  }
  throw new XenAudioError(
    'config',
    `${file} is neither in packaging/dbus of the program nor in /usr/share/dbus-1/interfaces: install it`,
  );
};

/** `packaging/dbus` in a folder and in all above it. */
const above = (directory: string): string[] => {
  const parent = dirname(directory);
  const here = join(directory, 'packaging', 'dbus');
  return parent === directory ? [] : [here, ...above(parent)];
};
