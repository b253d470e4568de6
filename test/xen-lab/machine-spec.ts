// SPDX-License-Identifier: LGPL-2.1-or-later
/** What a machine is made of, as QEMU is told. Pure. */
import { join } from 'node:path';

/** Guests that dom0 has configurations for. */
export const GUESTS_MAX = 8;
/** See docs/xen-lab.md: with the host's clock, or one nanosecond an instruction. */
export type Time = 'real' | 'instructions';

const DOM0_MIB = 1024;
const XEN_MIB = 256;
export const GUEST_MIB = 384;
/** Guests that tests may create besides those of the memory image. */
const SPARE_GUESTS = 2;

/**
 * All domains share one processor, and none may keep another waiting for long: Xen's default scheduler lets one that has
 * slept run for 10 ms, whoever wakes up meanwhile. The older one interrupts it for who wakes up, and where it does not, after 1 ms.
 */
const SCHEDULER = 'sched=credit sched_credit_tslice_ms=1 sched_ratelimit_us=0';
const XEN_ARGUMENTS = `console=com1 com1=115200,8n1 dom0_mem=${DOM0_MIB}M,max:${DOM0_MIB}M spec-ctrl=no bootscrub=0 ${SCHEDULER}`;
/** For dom0's kernel and the guests'. QEMU separates modules by commas, so there must be none. */
const KERNEL_ARGUMENTS = 'console=hvc0 quiet mitigations=off net.ifnames=0';

/** Files of an image, see image/build.sh. */
export const imageFiles = {
  xen: 'xen',
  kernel: 'vmlinux',
  initramfs: 'initrd.cpio',
  root: 'root.ext4',
  key: 'id_ed25519',
} as const;

/** Files of a machine's folder. */
export const machineFiles = {
  description: 'machine.json',
  console: 'console.sock',
  consoleLog: 'console.log',
  qmp: 'qmp.sock',
  qemuLog: 'qemu.log',
  ssh: 'ssh.sock',
  key: 'id_ed25519',
} as const;

/** Kernel arguments of a domain; number 0 is dom0. */
export function kernelArguments(number: number): string {
  return `${KERNEL_ARGUMENTS} lab.role=${number === 0 ? 'dom0' : 'guest'} lab.number=${number}`;
}

/** The machine's memory in MiB: what is never touched costs nothing. */
export function memoryMib(guests: number): number {
  return XEN_MIB + DOM0_MIB + GUEST_MIB * Math.min(guests + SPARE_GUESTS, GUESTS_MAX);
}

/**
 * QEMU's arguments that a memory image depends on. By instructions, two processors would take turns of many milliseconds
 * each, so that one waits for the other's work; Xen shares one out better.
 */
export function machineArguments(spec: { time: Time; guests: number }, imageDir: string): string[] {
  const file = (name: keyof typeof imageFiles): string => join(imageDir, imageFiles[name]);
  const time =
    spec.time === 'real'
      ? ['-accel', 'tcg,thread=multi,tb-size=512']
      : ['-accel', 'tcg,thread=single,tb-size=512', '-icount', 'shift=0,sleep=off'];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...time,
    ...[
      '-cpu',
      'qemu64,+rdrand,+npt,+nrip-save',
      '-smp',
      spec.time === 'real' ? '2' : '1',
      '-m',
      `${memoryMib(spec.guests)}M`,
    ],
    ...['-kernel', file('xen'), '-append', XEN_ARGUMENTS],
    ...['-initrd', `${file('kernel')} ${kernelArguments(0)},${file('initramfs')}`],
    ...['-drive', `file=${file('root')},if=none,id=root,format=raw,readonly=on,file.locking=off`],
    ...['-device', 'virtio-blk-pci,drive=root'],
    ...['-device', 'virtio-net-pci,netdev=net,romfile='],
    ...['-device', 'virtio-rng-pci'],
    ...['-serial', 'chardev:console'],
  ];
}

/** QEMU's arguments that tie a machine to the host: its folder, its port on 127.0.0.1, the memory image to begin with. */
export function hostArguments(dir: string, sshPort: number, memoryImage: string | undefined): string[] {
  const console = `path=${join(dir, machineFiles.console)},logfile=${join(dir, machineFiles.consoleLog)}`;
  return [
    // restrict: nothing in the machine reaches the host or its network.
    ...['-netdev', `user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:${sshPort}-:22`],
    ...['-chardev', `socket,id=console,server=on,wait=off,logappend=on,${console}`],
    ...['-qmp', `unix:${join(dir, machineFiles.qmp)},server=on,wait=off`],
    ...(memoryImage === undefined ? [] : ['-incoming', `exec:cat ${quote(memoryImage)}`]),
  ];
}

/** A word for sh. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command for sh: one word is taken as a line of sh, several are passed as they are. */
export function shellLine(command: readonly string[]): string {
  const [only, ...more] = command;
  return only !== undefined && more.length === 0 ? only : command.map(quote).join(' ');
}
