// SPDX-License-Identifier: LGPL-2.1-or-later

/** Which bus: the machine's, the user's, or an address as D-Bus writes them, `unix:path=…`. */
export type BusName = 'system' | 'session' | (string & {});

/** The address of a bus as D-Bus writes it. */
export const addressOf = (bus: BusName, environment: NodeJS.ProcessEnv): string => {
  if (bus === 'system')
    return environment['DBUS_SYSTEM_BUS_ADDRESS'] ?? 'unix:path=/run/dbus/system_bus_socket';
  if (bus !== 'session') return bus;
  const directory = environment['XDG_RUNTIME_DIR'] ?? '/run/user/0';
  return environment['DBUS_SESSION_BUS_ADDRESS'] ?? `unix:path=${directory}/bus`;
};

/** The Unix sockets that an address lists, as `net.connect` takes them; other transports are left out. */
export const socketsOf = (address: string): string[] =>
  address.split(';').flatMap((entry) => {
    const [transport, settings = ''] = splitOnce(entry, ':');
    if (transport !== 'unix') return [];
    const values = new Map(settings.split(',').map((setting) => splitOnce(setting, '=')));
    const path = values.get('path');
    const abstract = values.get('abstract');
    if (path !== undefined) return [unescape(path)];
    return abstract === undefined ? [] : [`\0${unescape(abstract)}`];
  });

const splitOnce = (text: string, separator: string): [string, string | undefined] => {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
};

const unescape = (text: string): string =>
  text.replace(/%([0-9A-Fa-f]{2})/g, (_whole, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
