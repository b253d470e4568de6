// SPDX-License-Identifier: LGPL-2.1-or-later
/** The checks of `xen-audioctl doctor`, from the bottom up: what fails above may be the cause of what fails below. */
import { messageOf } from '../util/errors.js';
import { quoted } from '../util/text.js';
import type { DoctorPort } from './port.js';

export type CheckStatus = 'ok' | 'warning' | 'error';

/** What a check found. */
export interface Finding {
  readonly status: CheckStatus;
  readonly finding: string;
  /** A command, or what to do; empty when there is nothing to do. */
  readonly remedy: string;
}

export interface Check {
  readonly id: string;
  readonly title: string;
  run(port: DoctorPort): Promise<Finding>;
}

/** Which side of the sound is looked at. */
export type Role = 'dom0' | 'guest';

const ok = (finding: string): Finding => ({ status: 'ok', finding, remedy: '' });
const warning = (finding: string, remedy: string): Finding => ({ status: 'warning', finding, remedy });
const error = (finding: string, remedy: string): Finding => ({ status: 'error', finding, remedy });

const LIBRARIES: Readonly<Record<string, string>> = {
  'libxenstore.so.4': 'libxenstore4',
  'libxengnttab.so.1': 'libxengnttab1',
  'libxenevtchn.so.1': 'libxenevtchn1',
};
const DEVICES: Readonly<Record<Role, readonly string[]>> = {
  dom0: ['gntdev', 'evtchn'],
  guest: ['gntalloc', 'evtchn', 'xenbus'],
};
const KERNEL_MODULES: Readonly<Record<string, string>> = {
  gntdev: 'xen-gntdev',
  evtchn: 'xen-evtchn',
  gntalloc: 'xen-gntalloc',
  xenbus: 'xenfs',
};
const MODULES: Readonly<Record<Role, readonly string[]>> = {
  dom0: ['module-xen-backend.so'],
  guest: ['module-xen-sink.so', 'module-xen-source.so', 'libxen-audio-front.so'],
};
const RULES: Readonly<Record<Role, string>> = {
  dom0: '60-xen-audio-backend.rules',
  guest: '60-xen-audio.rules',
};
const RULE_FOLDERS = ['/etc/udev/rules.d', '/usr/local/lib/udev/rules.d', '/usr/lib/udev/rules.d'];
const BUS_NAME = 'org.xenproject.Audio1';

const xen: Check = {
  id: 'xen',
  title: 'Xen',
  run: async (port) => {
    const type = (await port.readFile('/sys/hypervisor/type'))?.toString('utf8').trim();
    if (type === 'xen' || (await port.exists('/proc/xen'))) return ok('this system runs on Xen');
    return error(
      'this system does not run on Xen',
      'boot the entry "with Xen hypervisor" of the boot loader',
    );
  },
};

const libraries: Check = {
  id: 'libraries',
  title: "Xen's libraries",
  run: (port) => {
    const missing = Object.keys(LIBRARIES).filter((soname) => !port.findsLibrary(soname));
    if (missing.length === 0) return Promise.resolve(ok(Object.keys(LIBRARIES).join(', ')));
    const packages = missing.map((soname) => LIBRARIES[soname]).join(' ');
    return Promise.resolve(error(`not found: ${missing.join(', ')}`, `apt install ${packages}`));
  },
};

const xenstore: Check = {
  id: 'xenstore',
  title: 'xenstore',
  run: async (port) => {
    try {
      const domid = await port.readXenstore('domid');
      if (domid !== undefined && /^\d{1,5}$/.test(domid)) return ok(`answers; this is domain ${domid}`);
      return error(
        domid === undefined
          ? 'does not know which domain this is'
          : `says that this is domain ${quoted(domid)}`,
        'systemctl restart xen-init-dom0',
      );
    } catch (cause) {
      return error(messageOf(cause), 'systemctl start xenstored (as root; Debian: systemctl start xen)');
    }
  },
};

const devices = (role: Role): Check => ({
  id: 'devices',
  title: 'Devices for memory and events',
  run: async (port) => {
    const names = DEVICES[role];
    const found = await Promise.all(names.map((name) => port.exists(`/dev/xen/${name}`)));
    const absent = names.filter((_name, index) => found[index] !== true);
    if (absent.length > 0) {
      const modules = absent.map((name) => KERNEL_MODULES[name]).join(' ');
      return error(`/dev/xen has no ${absent.join(', ')}`, `modprobe -a ${modules}`);
    }
    const usable = await Promise.all(names.map((name) => port.canUse(`/dev/xen/${name}`)));
    const closed = names.filter((_name, index) => usable[index] !== true);
    if (closed.length === 0) return ok(names.map((name) => `/dev/xen/${name}`).join(', '));
    return warning(
      `this user may not use /dev/xen/${closed.join(', /dev/xen/')}; the user of PulseAudio must`,
      'adduser USER xen-audio, then log in again',
    );
  },
});

const access = (role: Role): Check => ({
  id: 'access',
  title: 'Group and udev rule',
  run: async (port) => {
    const rules = await Promise.all(RULE_FOLDERS.map((folder) => port.exists(`${folder}/${RULES[role]}`)));
    if (!rules.includes(true))
      return warning(`there is no udev rule ${RULES[role]}`, `scripts/install --role ${role}`);
    const { code } = await port.run('getent', ['group', 'xen-audio']);
    if (code === 0) return ok(`group xen-audio, rule ${RULES[role]}`);
    return warning('there is no group xen-audio', 'systemd-sysusers && udevadm trigger');
  },
});

interface ServerInfo {
  readonly name: string;
  readonly version: string;
  readonly sink: string;
  readonly source: string;
}

/** What `pactl info` says; a reason when the server does not answer. */
const serverInfo = async (port: DoctorPort): Promise<ServerInfo | string> => {
  const { code, stdout, stderr } = await port.run('pactl', ['info']);
  if (code === undefined) return 'pactl is not installed, or got no answer';
  if (code !== 0) return stderr.trim() === '' ? 'pactl info failed' : quoted(stderr.trim(), 200);
  const value = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(stdout)?.[1] ?? '';
  return {
    name: value('Server Name'),
    version: value('Server Version'),
    sink: value('Default Sink'),
    source: value('Default Source'),
  };
};

const soundServer: Check = {
  id: 'sound-server',
  title: 'Sound server',
  run: async (port) => {
    const info = await serverInfo(port);
    if (typeof info === 'string') {
      return error(
        info,
        'systemctl --user start pulseaudio, or name the server in pulse.server of the settings',
      );
    }
    if (/pipewire/i.test(info.name)) {
      return error(
        `it is ${quoted(info.name)}, which cannot load modules of PulseAudio`,
        'apt install pulseaudio',
      );
    }
    return ok(`PulseAudio ${info.version}`);
  },
};

/** Folders that the server looks for modules in. */
const moduleFolders = async (port: DoctorPort): Promise<string[]> => {
  const { stdout } = await port.run('pulseaudio', ['--dump-conf']);
  const path = /^dl-search-path = (.*)$/m.exec(stdout)?.[1] ?? '';
  return path.split(':').filter((folder) => folder !== '');
};

const modules = (role: Role): Check => ({
  id: 'modules',
  title: 'Modules of PulseAudio',
  run: async (port) => {
    const folders = await moduleFolders(port);
    if (folders.length === 0)
      return warning('pulseaudio --dump-conf names no dl-search-path', 'apt install pulseaudio');
    const info = await serverInfo(port);
    for (const name of MODULES[role]) {
      const found = await Promise.all(folders.map((folder) => port.readFile(`${folder}/${name}`)));
      const code = found.find((file) => file !== undefined);
      if (code === undefined)
        return error(`no ${name} in ${folders.join(', ')}`, `scripts/install --role ${role}`);
      // PulseAudio asks a module for its version, and refuses one of another release.
      const fits = typeof info === 'string' || name.startsWith('lib') || code.includes(`\0${info.version}\0`);
      if (!fits) {
        return error(
          `${name} was built for another PulseAudio than ${quoted(info.version)}, which refuses it`,
          `scripts/setup && scripts/install --role ${role}`,
        );
      }
    }
    return ok(MODULES[role].join(', '));
  },
});

const defaults: Check = {
  id: 'default-devices',
  title: 'Default sink and source',
  run: async (port) => {
    const info = await serverInfo(port);
    if (typeof info === 'string') return warning('not known: the sound server does not answer', '');
    const list = 'pactl list short sinks; pactl list short sources';
    if (info.sink === '' || info.sink === 'auto_null' || info.sink === '@DEFAULT_SINK@') {
      return warning('there is no sink: guests play into nothing', list);
    }
    if (info.source === '' || info.source === '@DEFAULT_SOURCE@' || info.source.endsWith('.monitor')) {
      return warning(`sink ${quoted(info.sink)}; no microphone: guests hear silence`, list);
    }
    return ok(`sink ${quoted(info.sink)}, source ${quoted(info.source)}`);
  },
};

const settings: Check = {
  id: 'settings',
  title: 'Settings and policy',
  run: async (port) => {
    try {
      const { policyFile } = await port.checkSettings();
      return ok((await port.exists(policyFile)) ? policyFile : `no ${policyFile}: what is built in holds`);
    } catch (cause) {
      return error(messageOf(cause), 'correct the file, then: systemctl reload-or-restart xen-audiod');
    }
  },
};

const daemon: Check = {
  id: 'daemon',
  title: 'xen-audiod',
  run: async (port) => {
    const { code, stdout, stderr } = await port.run('dbus-send', [
      ...['--system', '--print-reply=literal', '--dest=org.freedesktop.DBus', '/org/freedesktop/DBus'],
      ...['org.freedesktop.DBus.NameHasOwner', `string:${BUS_NAME}`],
    ]);
    if (code === undefined)
      return warning('dbus-send is not installed, or got no answer', 'apt install dbus-bin');
    if (code !== 0) return error(`D-Bus: ${quoted(stderr.trim(), 200)}`, 'systemctl start dbus');
    if (/\btrue\b/.test(stdout)) return ok(`runs, as ${BUS_NAME}`);
    return error(
      `nobody owns ${BUS_NAME} on the system bus`,
      'systemctl start xen-audiod; journalctl -u xen-audiod',
    );
  },
};

/** The checks of a role, in the order in which they make sense. */
export const checksOf = (role: Role): readonly Check[] => [
  xen,
  libraries,
  xenstore,
  devices(role),
  access(role),
  soundServer,
  modules(role),
  ...(role === 'dom0' ? [defaults, settings, daemon] : []),
];
