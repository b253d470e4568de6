// SPDX-License-Identifier: LGPL-2.1-or-later
import { packageFile } from './package-files.js';

/** The daemon on the bus; what it offers is described in packaging/dbus. */
export const AUDIO = {
  service: 'org.xenproject.Audio1',
  path: '/org/xenproject/Audio1',
  manager: 'org.xenproject.Audio1.Manager1',
  guest: 'org.xenproject.Audio1.Guest1',
  stream: 'org.xenproject.Audio1.Stream1',
  /** What the names of its errors begin with. */
  error: 'org.xenproject.Audio1.Error.',
} as const;

export const PROPERTIES = 'org.freedesktop.DBus.Properties';
export const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';

const STANDARD = `
  <interface name="${PROPERTIES}">
    <method name="GetAll">
      <arg type="s" direction="in"/><arg type="a{sv}" direction="out"/>
    </method>
    <method name="Set">
      <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="v" direction="in"/>
    </method>
  </interface>
  <interface name="${OBJECT_MANAGER}">
    <method name="GetManagedObjects"><arg type="a{oa{sa{sv}}}" direction="out"/></method>
  </interface>`;

/** Introspection data of a daemon's object: that of `name` and the standard interfaces. */
export const interfaceXml = (name: string): string => {
  const text = packageFile(`packaging/dbus/${name}.xml`);
  const end = '</interface>';
  const own = text.slice(text.indexOf('<interface '), text.lastIndexOf(end) + end.length);
  return `<node>${own}${STANDARD}</node>`;
};
