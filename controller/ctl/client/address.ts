// SPDX-License-Identifier: LGPL-2.1-or-later
import { CommandError, Status } from '../status.js';

/** A message bus: where it is, and what people call it. */
export interface BusAddress {
  readonly address: string;
  readonly label: string;
}

const SYSTEM_SOCKET = 'unix:path=/run/dbus/system_bus_socket';

/**
 * What `--bus` names: "system", "session", or an address of D-Bus.
 * @throws CommandError `usage`, or `notRunning` when there is no session
 */
export const busAddress = (name: string, env: NodeJS.ProcessEnv): BusAddress => {
  if (name === 'system')
    return { address: env['DBUS_SYSTEM_BUS_ADDRESS'] ?? SYSTEM_SOCKET, label: 'the system bus' };
  if (name === 'session') return { address: sessionAddress(env), label: 'the session bus' };
  if (!/^(?:unix|tcp):[a-z]+=[^\p{C}]+$/u.test(name)) {
    throw new CommandError(
      Status.usage,
      `--bus ${JSON.stringify(name)}: say system, session, or an address such as unix:path=/run/bus`,
    );
  }
  return { address: name, label: `the bus ${name}` };
};

const sessionAddress = (env: NodeJS.ProcessEnv): string => {
  const { DBUS_SESSION_BUS_ADDRESS: given, XDG_RUNTIME_DIR: runtime } = env;
  if (given !== undefined && given !== '') return given;
  if (runtime !== undefined && runtime !== '') return `unix:path=${runtime}/bus`;
  throw new CommandError(
    Status.notRunning,
    'there is no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set',
  );
};
