// SPDX-License-Identifier: LGPL-2.1-or-later
import { connect } from 'node:net';

/** Where xenstored listens. A domain that has none reaches it through the kernel, which never loses it. */
export const xenstoredSocket = (env: NodeJS.ProcessEnv): string =>
  env['XENSTORED_PATH'] ?? '/run/xenstored/socket';

/**
 * Calls `listener` when xenstored ends. libxenstore does not say it before the next call, so a second, silent connection
 * is kept, whose end the kernel reports; without a socket there is nothing to be told. The returned function ends it.
 */
export const watchForEnd = (env: NodeJS.ProcessEnv, listener: () => void): (() => void) => {
  const socket = connect(xenstoredSocket(env));
  let connected = false;
  socket.once('connect', () => {
    connected = true;
  });
  socket.on('error', () => undefined); // 'close' follows
  socket.once('close', () => {
    if (connected) listener();
  });
  socket.resume(); // nothing comes, but only who reads sees the end
  return () => {
    socket.removeAllListeners('close');
    socket.destroy();
  };
};
