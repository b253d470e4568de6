// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CommandName } from './command.js';

interface Help {
  /** What follows the name. */
  readonly synopsis: string;
  readonly summary: string;
  /** Paragraphs below the summary; '' when there is no more to say. */
  readonly details: string;
}

const HELP: Readonly<Record<CommandName, Help>> = {
  list: {
    synopsis: '',
    summary: 'list the guests that have a sound card',
    details: '',
  },
  show: {
    synopsis: 'GUEST',
    summary: 'show all about a guest and its streams',
    details: '',
  },
  volume: {
    synopsis: 'GUEST [PERCENT | +N | -N]',
    summary: "show, set or change a guest's volume",
    details: `PERCENT is that of the mixers' sliders; 100 leaves samples as they are. A change stops at 0 and at the
most that policy lets the guest have; a PERCENT above that is refused. The volume is kept for the VM.`,
  },
  mute: {
    synopsis: 'GUEST [on | off | toggle]',
    summary: 'mute a guest, or let it be heard again',
    details: 'Without a word it is on. It is kept for the VM.',
  },
  'allow-mic': {
    synopsis: 'GUEST [--once | --for DURATION | --always]',
    summary: 'let a guest record from the microphone',
    details: `  --once          until the recording that runs, or the next, ends (the default)
  --for DURATION  for a time: seconds, or such as 90s, 15m, 2h; one day at most
  --always        until 'deny-mic'; kept for the VM

A guest that policy denies the microphone does not get it so: exit status 6.`,
  },
  'deny-mic': {
    synopsis: 'GUEST',
    summary: "end a guest's leave to record",
    details: 'It returns when no sample of the microphone reaches the guest any more.',
  },
  attach: {
    synopsis: 'GUEST [--kernel]',
    summary: 'give a running guest sound cards',
    details: `One card for playback and one for capture, for module-xen-sink and module-xen-source.

  --kernel  one card with both, for the driver of the guest's kernel (snd_xen_front)`,
  },
  detach: {
    synopsis: 'GUEST [CARD]',
    summary: 'take sound cards from a running guest',
    details: `CARD is the first number in vsnd-CARD/PCM/STREAM, as 'show' lists it. Without it, all cards that have a
connected stream go.`,
  },
  route: {
    synopsis: 'GUEST playback|capture [DEVICE]',
    summary: "choose the sink or source of a guest's streams",
    details: `DEVICE is a name as in 'pactl list short sinks' or 'pactl list short sources'. Without it, what policy says
holds again, else the server's default. It is kept for the VM.`,
  },
  'policy check': {
    synopsis: 'FILE',
    summary: 'check a policy file, without the daemon',
    details: 'Each fault is told with its line and column; exit status 1.',
  },
  doctor: {
    synopsis: '[--guest]',
    summary: 'look for what keeps guests from being heard, without the daemon',
    details: `It changes nothing. Exit status 1 when one of its checks finds an error.

  --guest  look at the guest that this runs in, instead of dom0`,
  },
  'policy explain': {
    synopsis: 'GUEST',
    summary: 'show what policy says of a guest, and by which rule',
    details: '',
  },
  reload: {
    synopsis: '',
    summary: 'let the daemon read its settings and policy again',
    details: 'When there is a fault in them, it is told, and what was in force stays.',
  },
  'prepare-suspend': {
    synopsis: 'GUEST',
    summary: "disconnect a guest's cards, before it is suspended, saved or migrated",
    details: `It returns when nothing of the guest is mapped any more. The cards stay so until 'finish-suspend', until
the guest comes back as another domain, or for five minutes.`,
  },
  'finish-suspend': {
    synopsis: 'GUEST',
    summary: "let a guest's cards connect again",
    details: 'For a guest that has resumed, or whose suspend was called off.',
  },
  save: {
    synopsis: 'GUEST FILE [-- XL-OPTION...]',
    summary: 'save a guest as xl does, without harm to its sound',
    details: `The guest's cards are disconnected ('prepare-suspend'), then 'xl save' runs, with what follows -- as its
options. When the guest goes on, because xl has failed or was told -c, its cards are connected again. Output
and exit status are those of xl.`,
  },
  restore: {
    synopsis: 'FILE [-- XL-OPTION...]',
    summary: 'restore a guest as xl does, and wait for its sound',
    details: `'xl restore' runs, with what follows -- as its options. It returns when the guest's cards are connected
again, at the latest after --timeout; output and exit status are those of xl.`,
  },
  migrate: {
    synopsis: 'GUEST HOST [-- XL-OPTION...]',
    summary: 'migrate a guest as xl does, without harm to its sound',
    details: `As 'save', with 'xl migrate'. On the other host the cards are connected again by themselves.`,
  },
  monitor: {
    synopsis: '',
    summary: 'watch levels, latency and underruns of all guests',
    details: `It needs a terminal; q or Ctrl-C ends it. With --json, standard output may be anything: it prints a line
of JSON for each guest at the beginning and whenever something about it changes, ten a second at most.`,
  },
};

export const COMMAND_NAMES = Object.keys(HELP) as readonly CommandName[];

const OPTIONS = `  --json         print JSON, for programs
  --bus BUS      where xen-audiod is: system (the default), session, or an address;
                 the environment variable XEN_AUDIO_BUS says the same
  --timeout SEC  the longest wait for an answer, in seconds (default: 25)
  --help         explain the command and exit
  --version      print the version and exit
`;

const EXIT = `Exit status: 0 success, 1 failure, 2 wrong arguments, 3 xen-audiod is not running, 4 no such guest,
5 not authorised, 6 refused by policy.
`;

/** The help of a command; of the program, without one. */
export const helpText = (name: CommandName | undefined): string => {
  if (name === undefined) return overview();
  const { synopsis, summary, details } = HELP[name];
  const usage = ['Usage: xen-audioctl [OPTION]...', name, synopsis].filter((word) => word !== '').join(' ');
  const sentence = `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
  return `${[usage, sentence, ...(details === '' ? [] : ['', details])].join('\n')}\n\n${OPTIONS}`;
};

const overview = (): string => {
  const width = Math.max(...COMMAND_NAMES.map((name) => name.length));
  const lines = COMMAND_NAMES.map((name) => `  ${name.padEnd(width)}  ${HELP[name].summary}`);
  return `Usage: xen-audioctl [OPTION]... COMMAND [ARGUMENT]...
Controls the sound of Xen guests, through xen-audiod.

${lines.join('\n')}

GUEST is a guest's name, the UUID of its VM, or the number of its domain.
'xen-audioctl COMMAND --help' says more about one of them.

${OPTIONS}
${EXIT}`;
};
