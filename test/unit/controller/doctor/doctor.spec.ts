// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import type { Role } from '../../../../controller/doctor/checks.js';
import { runDoctor, type CheckReport } from '../../../../controller/doctor/doctor.js';
import type { DoctorPort, Printed } from '../../../../controller/doctor/port.js';
import { XenAudioError } from '../../../../controller/util/errors.js';

const FOLDER = '/usr/lib/pulse-16.1/modules';
const PACTL = `Server Name: pulseaudio
Server Version: 16.1
Default Sink: speakers
Default Source: microphone
`;

const printed = (stdout: string, code = 0, stderr = ''): Printed => ({ code, stdout, stderr });
const NOT_INSTALLED: Printed = { code: undefined, stdout: '', stderr: '' };

/** A machine on which all is well, until a test changes it. */
class FakeMachine implements DoctorPort {
  readonly files = new Map<string, Buffer>([
    ['/sys/hypervisor/type', Buffer.from('xen\n')],
    ...['gntdev', 'gntalloc', 'evtchn', 'xenbus'].map((name) => [`/dev/xen/${name}`, Buffer.of()] as const),
    ['/usr/lib/udev/rules.d/60-xen-audio-backend.rules', Buffer.of()],
    ['/usr/lib/udev/rules.d/60-xen-audio.rules', Buffer.of()],
    ...['module-xen-backend.so', 'module-xen-sink.so', 'module-xen-source.so', 'libxen-audio-front.so'].map(
      (name) => [`${FOLDER}/${name}`, Buffer.from('\x7fELF\x0016.1\0')] as const,
    ),
    ['/etc/xen-audio/policy.yaml', Buffer.of()],
  ]);
  readonly closed = new Set<string>();
  readonly missingLibraries = new Set<string>();
  readonly programs = new Map<string, Printed>([
    ['pactl', printed(PACTL)],
    ['pulseaudio', printed(`dl-search-path = /nowhere:${FOLDER}\n`)],
    ['getent', printed('xen-audio:x:990:\n')],
    ['dbus-send', printed('   boolean true\n')],
  ]);
  domid: string | undefined | Error = '0';
  settingsFault: Error | undefined;

  readFile(path: string): Promise<Buffer | undefined> {
    return Promise.resolve(this.files.get(path));
  }

  exists(path: string): Promise<boolean> {
    return Promise.resolve(this.files.has(path));
  }

  canUse(path: string): Promise<boolean> {
    return Promise.resolve(!this.closed.has(path));
  }

  findsLibrary(soname: string): boolean {
    return !this.missingLibraries.has(soname);
  }

  readXenstore(): Promise<string | undefined> {
    return this.domid instanceof Error ? Promise.reject(this.domid) : Promise.resolve(this.domid);
  }

  run(command: string): Promise<Printed> {
    return Promise.resolve(this.programs.get(command) ?? NOT_INSTALLED);
  }

  checkSettings(): Promise<{ policyFile: string }> {
    if (this.settingsFault !== undefined) return Promise.reject(this.settingsFault);
    return Promise.resolve({ policyFile: '/etc/xen-audio/policy.yaml' });
  }
}

describe('the doctor', () => {
  let machine: FakeMachine;

  beforeEach(() => {
    machine = new FakeMachine();
  });

  const checked = async (id: string, role: Role = 'dom0'): Promise<CheckReport> => {
    const { checks } = await runDoctor({ role }, machine);
    const found = checks.find((check) => check.id === id);
    assert.ok(found, `no check ${id}`);
    return found;
  };

  for (const role of ['dom0', 'guest'] as const) {
    it(`finds nothing wrong where all is well (${role})`, async () => {
      const report = await runDoctor({ role }, machine);

      assert.deepEqual(
        report.checks.filter(({ status, remedy }) => status !== 'ok' || remedy !== ''),
        [],
      );
      assert.equal(report.status, 'ok');
    });
  }

  const pactl = (name: string, value: string): Printed =>
    printed(PACTL.replace(new RegExp(`^${name}: .*$`, 'm'), `${name}: ${value}`));

  const faults: readonly [
    string,
    string,
    'warning' | 'error',
    RegExp,
    RegExp,
    (m: FakeMachine) => unknown,
  ][] = [
    ['no Xen', 'xen', 'error', /does not run on Xen/, /boot/, (m) => m.files.delete('/sys/hypervisor/type')],
    [
      'a missing library',
      'libraries',
      'error',
      /not found: libxengnttab\.so\.1/,
      /^apt install libxengnttab1$/,
      (m) => m.missingLibraries.add('libxengnttab.so.1'),
    ],
    [
      'a xenstore that does not answer',
      'xenstore',
      'error',
      /cannot be opened/,
      /start xenstored/,
      (m) => (m.domid = new XenAudioError('xenstore', 'xenstore cannot be opened (ENOENT)')),
    ],
    ['no domid', 'xenstore', 'error', /which domain/, /xen-init-dom0/, (m) => (m.domid = undefined)],
    ['a domid that is none', 'xenstore', 'error', /"\\u001b"/, /xen-init-dom0/, (m) => (m.domid = '\x1b')],
    [
      'an absent device',
      'devices',
      'error',
      /\/dev\/xen has no gntdev/,
      /^modprobe -a xen-gntdev$/,
      (m) => m.files.delete('/dev/xen/gntdev'),
    ],
    [
      'a device that is closed to the user',
      'devices',
      'warning',
      /may not use \/dev\/xen\/evtchn/,
      /^adduser USER xen-audio/,
      (m) => m.closed.add('/dev/xen/evtchn'),
    ],
    [
      'no udev rule',
      'access',
      'warning',
      /no udev rule/,
      /scripts\/install --role dom0/,
      (m) => m.files.delete('/usr/lib/udev/rules.d/60-xen-audio-backend.rules'),
    ],
    [
      'no group',
      'access',
      'warning',
      /no group/,
      /systemd-sysusers/,
      (m) => m.programs.set('getent', printed('', 2)),
    ],
    [
      'no sound server',
      'sound-server',
      'error',
      /Connection refused/,
      /pulse\.server/,
      (m) => m.programs.set('pactl', printed('', 1, 'Connection failure: Connection refused')),
    ],
    ['no pactl', 'sound-server', 'error', /pactl is not installed/, /./, (m) => m.programs.delete('pactl')],
    [
      'PipeWire in its place',
      'sound-server',
      'error',
      /PipeWire/,
      /apt install pulseaudio/,
      (m) => m.programs.set('pactl', pactl('Server Name', 'PulseAudio (on PipeWire 1.0)')),
    ],
    [
      'no backend module',
      'modules',
      'error',
      /no module-xen-backend\.so in \/nowhere, \/usr\/lib/,
      /scripts\/install/,
      (m) => m.files.delete(`${FOLDER}/module-xen-backend.so`),
    ],
    [
      'a module of another PulseAudio',
      'modules',
      'error',
      /built for another PulseAudio than "17\.0"/,
      /^scripts\/setup && scripts\/install --role dom0$/,
      (m) => m.programs.set('pactl', pactl('Server Version', '17.0')),
    ],
    [
      'no list of folders',
      'modules',
      'warning',
      /dl-search-path/,
      /apt install/,
      (m) => m.programs.delete('pulseaudio'),
    ],
    [
      'no sink',
      'default-devices',
      'warning',
      /play into nothing/,
      /pactl list/,
      (m) => m.programs.set('pactl', pactl('Default Sink', 'auto_null')),
    ],
    [
      'no microphone',
      'default-devices',
      'warning',
      /hear silence/,
      /pactl list/,
      (m) => m.programs.set('pactl', pactl('Default Source', 'speakers.monitor')),
    ],
    [
      'a fault in the settings',
      'settings',
      'error',
      /policy\.yaml:3:1: expected/,
      /correct the file/,
      (m) => (m.settingsFault = new XenAudioError('config', 'policy.yaml:3:1: expected …')),
    ],
    [
      'a daemon that does not run',
      'daemon',
      'error',
      /nobody owns org\.xenproject\.Audio1/,
      /systemctl start xen-audiod/,
      (m) => m.programs.set('dbus-send', printed('   boolean false\n')),
    ],
    [
      'no bus',
      'daemon',
      'error',
      /Failed to open/,
      /systemctl start dbus/,
      (m) => m.programs.set('dbus-send', printed('', 1, 'Failed to open connection')),
    ],
    [
      'no dbus-send',
      'daemon',
      'warning',
      /not installed/,
      /apt install/,
      (m) => m.programs.delete('dbus-send'),
    ],
  ];
  for (const [title, id, status, finding, remedy, breakIt] of faults) {
    it(`finds ${title}, and says what to do`, async () => {
      breakIt(machine);

      const check = await checked(id);

      assert.equal(check.status, status);
      assert.match(check.finding, finding);
      assert.match(check.remedy, remedy);
    });
  }

  it('looks for what a guest needs in a guest', async () => {
    machine.files.delete('/dev/xen/gntalloc');
    machine.files.delete(`${FOLDER}/module-xen-source.so`);

    assert.match((await checked('devices', 'guest')).remedy, /^modprobe -a xen-gntalloc$/);
    assert.match((await checked('modules', 'guest')).finding, /no module-xen-source\.so/);
  });

  it('is as ill as its worst finding, and goes on when a check itself fails', async () => {
    machine.closed.add('/dev/xen/evtchn');
    assert.equal((await runDoctor({}, machine)).status, 'warning');

    machine.findsLibrary = () => {
      throw new Error('on purpose');
    };
    const report = await runDoctor({}, machine);
    assert.equal(report.status, 'error');
    assert.equal(report.checks.find(({ id }) => id === 'libraries')?.finding, 'on purpose');
    assert.equal(report.checks.at(-1)?.status, 'ok');
  });
});
