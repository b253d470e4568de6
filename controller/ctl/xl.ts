// SPDX-License-Identifier: LGPL-2.1-or-later
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { messageOf } from '../util/errors.js';
import type { AudioClient } from './client/audio-client.js';
import type { Guest } from './client/shapes.js';
import type { Command } from './command.js';
import { CommandError, Status } from './status.js';

/** The commands that do what xl's of the same name do, and see to the sound before and after. */
export type XlCommand = Extract<Command, { name: 'save' | 'restore' | 'migrate' }>;

export const isXlCommand = (command: Command): command is XlCommand =>
  command.name === 'save' || command.name === 'restore' || command.name === 'migrate';

/** After that long a suspend is over, if nobody says that it goes on. */
const SUSPEND_MINUTES = 5;
/** A daemon that is started anew while xl runs knows of no suspend before it is told. */
const RENEW_MS = 1_000;
const LOOK_MS = 200;
/** Of shells: a program that a signal has ended. */
const SIGNAL_STATUS = 128;

/**
 * Runs xl with the cards of its guest disconnected. Resolves with xl's exit status.
 *
 * @param timeoutMs how long to wait for the cards of a restored guest
 * @param warn says what went wrong although xl did well
 * @throws CommandError also when xl cannot be run; the cards are connected again then
 */
export const runXl = async (
  command: XlCommand,
  client: AudioClient,
  timeoutMs: number,
  warn: (text: string) => void,
): Promise<number> =>
  command.name === 'restore'
    ? await restore(command, client, timeoutMs, warn)
    : await suspend(command, client, warn);

const suspend = async (
  { name, guest, operand, options }: Extract<XlCommand, { name: 'save' | 'migrate' }>,
  client: AudioClient,
  warn: (text: string) => void,
): Promise<number> => {
  // By the number of the domain from now on: a guest that has moved on this host keeps its name.
  const domid = String((await (await client.guest(guest)).properties()).domid);
  try {
    await client.suspend('PrepareSuspend', domid);
  } catch (error) {
    await finish(client, domid).catch(() => undefined); // which may have begun
    throw error;
  }
  let isRenewing = false;
  const renewal = setInterval(() => {
    if (isRenewing) return;
    isRenewing = true;
    client
      .suspend('PrepareSuspend', domid)
      .catch(() => undefined) // whatever it is: xl goes on, and what it says in the end counts
      .finally(() => {
        isRenewing = false;
      });
  }, RENEW_MS);
  try {
    return await run([name, ...options, domid, operand]);
  } finally {
    clearInterval(renewal);
    await finish(client, domid).catch((error: unknown) => {
      warn(
        `the suspend is not ended, so the guest's sound may be late by ${SUSPEND_MINUTES} minutes: ${messageOf(error)}`,
      );
    });
  }
};

/** The domain is still there when xl has failed, or has only taken a picture of it (`xl save -c`). */
const finish = async (client: AudioClient, domid: string): Promise<void> => {
  try {
    await client.suspend('FinishSuspend', domid);
  } catch (error) {
    if (!(error instanceof CommandError) || error.status !== Status.noSuchGuest) throw error;
  }
};

const restore = async (
  { file, options }: Extract<XlCommand, { name: 'restore' }>,
  client: AudioClient,
  timeoutMs: number,
  warn: (text: string) => void,
): Promise<number> => {
  const before = new Set((await client.guests()).map(({ domid }) => domid));
  const status = await run(['restore', ...options, file]);
  if (status !== 0) return status;
  const deadlineMs = performance.now() + timeoutMs;
  const waiting = async (): Promise<Guest[]> =>
    (await client.guests()).filter(({ domid, state }) => !before.has(domid) && state !== 'connected');
  for (let left = await waiting(); left.length > 0; left = await waiting()) {
    if (performance.now() > deadlineMs) {
      const names = left.map(({ name }) => name).join(', ');
      warn(
        `${names}: restored, but not all of its cards were connected within ${timeoutMs / 1000} s: ` +
          "does it use them, or is it paused? 'xen-audioctl show' tells when they are",
      );
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return status;
};

/** Runs xl in our place: it has the terminal, and signals are its own. */
const run = async (args: readonly string[]): Promise<number> => {
  const child = spawn('xl', args, { stdio: 'inherit' });
  const forward = (signal: NodeJS.Signals): void => {
    child.kill(signal);
  };
  // We must live to connect the cards again; Ctrl-C reaches xl by itself.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore).on('SIGTERM', forward).on('SIGHUP', forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        resolve(code ?? SIGNAL_STATUS + (signal === null ? 0 : constants.signals[signal]));
      });
    });
  } catch (error) {
    throw new CommandError(
      Status.failure,
      `xl cannot be run: ${messageOf(error)}: are Xen's tools installed?`,
      {
        cause: error,
      },
    );
  } finally {
    process.off('SIGINT', ignore).off('SIGTERM', forward).off('SIGHUP', forward);
  }
};
