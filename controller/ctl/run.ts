// SPDX-License-Identifier: LGPL-2.1-or-later
import type { AudioClient, GuestClient } from './client/audio-client.js';
import type { Guest } from './client/shapes.js';
import type { Command, Leave, VolumeChange } from './command.js';
import { guestDetails, guestTable, percent } from './show/guests.js';
import type { Style } from './show/style.js';
import { printable, table } from './show/text.js';
import { CommandError, Status } from './status.js';
import type { XlCommand } from './xl.js';

/** The commands that ask the daemon and end. */
export type DaemonCommand = Exclude<Command, XlCommand | { name: 'monitor' | 'policy check' | 'doctor' }>;

/** Where a command's result goes. */
export interface Printer {
  readonly style: Style;
  /** Prints lines for people, or the value as JSON. */
  print(lines: readonly string[], value: unknown): void;
}

/** Does what a command says. @throws CommandError; XenAudioError `timeout` */
export const runCommand = async (
  command: DaemonCommand,
  client: AudioClient,
  printer: Printer,
): Promise<void> => {
  switch (command.name) {
    case 'list': {
      const guests = await client.guests();
      printer.print(guestTable(guests, printer.style), guests);
      return;
    }
    case 'show': {
      const guest = await findGuest(client, command.guest);
      printer.print(guestDetails(guest, Date.now(), printer.style), guest);
      return;
    }
    case 'volume':
      await volume(await client.guest(command.guest), command.guest, command.change, printer);
      return;
    case 'mute': {
      const guest = await client.guest(command.guest);
      const mute = command.mute === 'toggle' ? !(await guest.properties()).mute : command.mute === 'on';
      await guest.setMute(mute);
      printer.print([], { mute });
      return;
    }
    case 'allow-mic':
      await allow(await client.guest(command.guest), command.leave);
      break;
    case 'deny-mic':
      await (await client.guest(command.guest)).answerCapture('DenyCapture');
      break;
    case 'attach': {
      const devids = await client.attach(command.guest, command.layout);
      printer.print([`Cards made: ${devids.join(', ')}`], { devids });
      return;
    }
    case 'detach': {
      const devids = command.devid === undefined ? await cardsOf(client, command.guest) : [command.devid];
      for (const devid of devids) await client.detach(command.guest, devid);
      printer.print([`Cards gone: ${devids.join(', ')}`], { devids });
      return;
    }
    case 'route':
      await (await client.guest(command.guest)).setRoute(command.direction, command.device);
      break;
    case 'policy explain':
      await explainPolicy(client, command.guest, printer);
      return;
    case 'reload':
      await client.reload();
      break;
    case 'prepare-suspend':
      await client.suspend('PrepareSuspend', command.guest);
      break;
    case 'finish-suspend':
      await client.suspend('FinishSuspend', command.guest);
      break;
  }
  printer.print([], {});
};

/** A guest with its streams; the daemon alone says who is meant. */
const findGuest = async (client: AudioClient, name: string): Promise<Guest> => {
  const { path } = await client.guest(name);
  const found = (await client.guests()).find(({ id }) => path.endsWith(`/${id}`));
  if (found === undefined) throw new CommandError(Status.noSuchGuest, `guest '${name}' has just gone`);
  return found;
};

const volume = async (
  client: GuestClient,
  name: string,
  change: VolumeChange | undefined,
  printer: Printer,
): Promise<void> => {
  const guest = await client.properties();
  const wanted = change === undefined ? guest.volume : nextVolume(guest, name, change);
  if (change !== undefined) await client.setVolume(wanted);
  printer.print([percent(wanted) + (guest.mute ? ', muted' : '')], { volume: wanted, mute: guest.mute });
};

/** The volume that a change leads to. @throws CommandError `refused` when policy has a lower limit */
const nextVolume = (
  guest: { readonly volume: number; readonly volumeCap: number },
  name: string,
  { relative, percent: points }: VolumeChange,
): number => {
  if (relative)
    return Math.max(0, Math.min(guest.volume + points / 100, Math.max(guest.volumeCap, guest.volume)));
  const wanted = points / 100;
  if (wanted <= guest.volumeCap) return wanted;
  throw new CommandError(
    Status.refused,
    `policy lets guest '${name}' have ${percent(guest.volumeCap)} at most\n` +
      `'xen-audioctl policy explain GUEST' names the rule`,
  );
};

const allow = async (guest: GuestClient, leave: Leave): Promise<void> => {
  if (leave === 'once') await guest.answerCapture('AllowCaptureOnce');
  else if (leave === 'always') await guest.answerCapture('AllowCaptureAlways');
  else await guest.allowCaptureFor(leave.seconds);
};

/** Numbers of the cards with a connected stream. */
const cardsOf = async (client: AudioClient, name: string): Promise<number[]> => {
  const { streams } = await findGuest(client, name);
  const devids = streams.flatMap(({ device }) => {
    const [, card] = /^vsnd-(\d{1,5})\//.exec(device) ?? [];
    return card === undefined ? [] : [Number(card)];
  });
  if (devids.length > 0) return [...new Set(devids)];
  throw new CommandError(
    Status.failure,
    `guest '${name}' has no connected stream that would tell its cards: ` +
      "say the card's number, 'xen-audioctl detach GUEST CARD'",
  );
};

const explainPolicy = async (client: AudioClient, guest: string, printer: Printer): Promise<void> => {
  const settings = await client.explainPolicy(guest);
  const rows = settings.map(({ setting, value, rule }) => [setting, value, rule].map(printable));
  const [titles = '', ...lines] = table([{ title: 'SETTING' }, { title: 'VALUE' }, { title: 'RULE' }], rows);
  printer.print([printer.style.title(titles), ...lines], settings);
};
