// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The Unix socket of a sound server, as libpulse would find it; undefined where there is none to look at.
 * @param server as in `PULSE_SERVER`; undefined: as the environment says
 */
export const socketOfServer = (server: string | undefined, env: NodeJS.ProcessEnv): string | undefined => {
  const address = server ?? env['PULSE_SERVER'] ?? '';
  if (address !== '') return /(?:^|[\s}])(?:unix:)?(\/\S*)/.exec(address)?.[1];
  const folder = env['PULSE_RUNTIME_PATH'] ?? under(env['XDG_RUNTIME_DIR'], 'pulse') ?? '/run/pulse';
  return join(folder, 'native');
};

/** What will change first when the server comes: its socket, or the outermost of the folders to it that are missing. */
export const nearestToSocket = (
  server: string | undefined,
  env: NodeJS.ProcessEnv,
  exists: (path: string) => boolean = existsSync,
): string | undefined => {
  const socket = socketOfServer(server, env);
  if (socket === undefined) return undefined;
  let path = socket;
  while (!exists(dirname(path)) && path !== dirname(path)) path = dirname(path);
  return path;
};

const under = (folder: string | undefined, name: string): string | undefined =>
  folder === undefined || folder === '' ? undefined : join(folder, name);
