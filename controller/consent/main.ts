#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
import { parseArgs } from 'node:util';
import { busAddress } from '../ctl/client/address.js';
import { AudioClient } from '../ctl/client/audio-client.js';
import { Bus } from '../ctl/client/bus.js';
import { AUDIO } from '../ctl/client/interfaces.js';
import { LiveGuests } from '../ctl/client/live-guests.js';
import { version } from '../ctl/client/package-files.js';
import { printable } from '../ctl/show/text.js';
import { CommandError, Status } from '../ctl/status.js';
import { messageOf } from '../util/errors.js';
import { Notifications } from './notifications.js';
import { Requests, type Answer } from './requests.js';

const CALL_TIMEOUT_MS = 25_000;

const HELP = `Usage: xen-audio-consent [OPTION]...
Asks the user, by a notification on the desktop, whether a Xen guest may record from the microphone.

  --bus BUS   where xen-audiod is: system (the default), session, or an address;
              the environment variable XEN_AUDIO_BUS says the same
  --version   print the version and exit
  --help      print this and exit

It runs until it is told to stop; start it with the session. A notification that is dismissed is no answer:
xen-audiod denies the microphone when the time to answer is over.
Exit status: 0 stopped as asked, 1 failure, 2 wrong arguments, 3 a message bus cannot be reached.
`;

const complain = (message: string): void => {
  for (const line of message.split('\n')) process.stderr.write(`xen-audio-consent: ${printable(line)}\n`);
};

const parseArguments = (): { bus?: string; help?: boolean; version?: boolean } => {
  try {
    return parseArgs({
      options: { bus: { type: 'string' }, version: { type: 'boolean' }, help: { type: 'boolean' } },
    }).values;
  } catch (error) {
    throw new CommandError(Status.usage, `${messageOf(error)}\nTry "xen-audio-consent --help".`, {
      cause: error,
    });
  }
};

const sendAnswer = async (client: AudioClient, path: string, answer: Answer): Promise<void> => {
  const guest = await client.guestAt(path);
  const method = { once: 'AllowCaptureOnce', always: 'AllowCaptureAlways', deny: 'DenyCapture' } as const;
  await guest.answerCapture(method[answer]);
};

/** Asks until `stopped`. @param audio bus of xen-audiod @param session bus of the desktop */
const serve = async (audio: Bus, session: Bus, stopped: Promise<void>): Promise<void> => {
  const client = await AudioClient.open(audio);
  const notifications = await Notifications.connect(session, {
    chosen: (id, action) => {
      requests.choose(id, action);
    },
    appeared: () => {
      requests.renew();
    },
  });
  const asker = {
    guestAt: (path: string) => live.guestAt(path),
    answer: (path: string, answer: Answer) => sendAnswer(client, path, answer),
  };
  const requests = new Requests(notifications, asker, complain);
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  const live = new LiveGuests(client, {
    appeared: () => {
      for (const guest of live.guests()) {
        if (guest.captureDeadlineUsec > 0)
          requests.ask(`${AUDIO.path}/guest/${guest.id}`, guest.captureDeadlineUsec);
      }
    },
    changed: () => {
      requests.changed();
    },
    captureRequested: (path, deadlineUsec) => {
      requests.ask(path, deadlineUsec);
    },
    failed: fail,
  });
  try {
    await Promise.race([live.start().then(() => stopped), stopped, failed, audio.lost, session.lost]);
  } finally {
    await requests.close();
  }
};

const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(name, () => {
        resolve();
      });
    }
  });

const run = async (busName: string): Promise<void> => {
  const stopped = stopSignal();
  const audio = await Bus.connect(busAddress(busName, process.env), CALL_TIMEOUT_MS);
  try {
    const session = await Bus.connect(busAddress('session', process.env), CALL_TIMEOUT_MS);
    try {
      await serve(audio, session, stopped);
    } finally {
      session.close();
    }
  } finally {
    audio.close();
  }
};

const main = async (): Promise<Status> => {
  try {
    const { bus, help, version: wantsVersion } = parseArguments();
    const fromEnvironment = process.env['XEN_AUDIO_BUS'] ?? '';
    if (help === true) process.stdout.write(HELP);
    else if (wantsVersion === true) process.stdout.write(`xen-audio-consent ${version()}\n`);
    else await run(bus ?? (fromEnvironment === '' ? 'system' : fromEnvironment));
    return Status.ok;
  } catch (error) {
    complain(messageOf(error));
    return error instanceof CommandError ? error.status : Status.failure;
  }
};

const status = await main();
process.stdout.write('', () => process.exit(status));
