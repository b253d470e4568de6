// SPDX-License-Identifier: LGPL-2.1-or-later
import { DBusError } from 'dbus-next';
import { z } from 'zod';
import type { ApiErrorCode } from '../../api/audio-api.js';
import { messageOf } from '../../util/errors.js';
import { CommandError, Status } from '../status.js';
import { AUDIO } from './interfaces.js';

/** What the daemon's refusals mean to a script; the others are failures. */
const STATUS_OF: Partial<Record<ApiErrorCode, Status>> = {
  NoSuchGuest: Status.noSuchGuest,
  AmbiguousGuest: Status.noSuchGuest,
  NotAuthorized: Status.notAuthorised,
  PolicyDenied: Status.refused,
};

/** What to do about a refusal, where its own message cannot know. */
const ADVICE: Partial<Record<ApiErrorCode, string>> = {
  NoSuchGuest: "'xen-audioctl list' shows the guests with a sound card",
  AmbiguousGuest: "say its UUID or the number of its domain, which 'xen-audioctl list' and 'show' tell",
  NotAuthorized: "try again as root, or ask the machine's administrator",
  PolicyDenied: "'xen-audioctl policy explain GUEST' names the rule",
  NoSuchDevice: "'xen-audioctl show GUEST' lists its streams, as vsnd-CARD/PCM/STREAM",
  NoSuchSink: "'pactl list short sinks' lists them",
  NoSuchSource: "'pactl list short sources' lists them",
  PolicyInvalid: "what was in force stays; 'xen-audioctl policy check FILE' tries a change beforehand",
};

/** The same for errors of the bus and of D-Bus itself. */
const BUS_ERRORS: Readonly<Record<string, (label: string) => CommandError>> = {
  'org.freedesktop.DBus.Error.ServiceUnknown': (label) => notRunning(label),
  'org.freedesktop.DBus.Error.NameHasNoOwner': (label) => notRunning(label),
  'org.freedesktop.DBus.Error.AccessDenied': (label) =>
    new CommandError(
      Status.notAuthorised,
      `${label} does not let this user talk to xen-audiod\ntry again as root, or ask the machine's administrator`,
    ),
  'org.freedesktop.DBus.Error.UnknownObject': () =>
    new CommandError(Status.noSuchGuest, 'the guest, or its sound card, has just gone'),
  'org.freedesktop.DBus.Error.NoReply': () =>
    new CommandError(
      Status.failure,
      "xen-audiod went away before it answered: see its log, 'journalctl -u xen-audiod'",
    ),
};

const notRunning = (label: string): CommandError =>
  new CommandError(
    Status.notRunning,
    label === 'the system bus'
      ? "xen-audiod is not running: start it with 'systemctl start xen-audiod'; " +
          "its log is in 'journalctl -u xen-audiod'"
      : `there is no xen-audiod on ${label}: start one there, or leave --bus and XEN_AUDIO_BUS away for that ` +
          'of the system bus',
  );

/** Turns what a call threw into what people and scripts are told. @param label the bus */
export const explainFailure = (error: unknown, label: string): Error => {
  if (error instanceof z.ZodError) {
    const faults = error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    return new CommandError(
      Status.failure,
      `xen-audiod answered what was not expected: are it and this command of one version? (${faults})`,
      { cause: error },
    );
  }
  if (!(error instanceof DBusError)) return error instanceof Error ? error : new Error(messageOf(error));
  const known = BUS_ERRORS[error.type];
  if (known !== undefined) return known(label);
  if (!error.type.startsWith(AUDIO.error)) {
    return new CommandError(Status.failure, `${error.text} (${error.type})`, { cause: error });
  }
  const code = error.type.slice(AUDIO.error.length) as ApiErrorCode;
  const advice = ADVICE[code];
  return new CommandError(
    STATUS_OF[code] ?? Status.failure,
    advice === undefined ? error.text : `${error.text}\n${advice}`,
    { cause: error },
  );
};
