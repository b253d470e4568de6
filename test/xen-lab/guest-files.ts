// SPDX-License-Identifier: LGPL-2.1-or-later
/** Files of the image that go by number of guest. Pure. */
import { GUEST_MIB, GUESTS_MAX, kernelArguments } from './machine-spec.js';

const DOM0_ADDRESS = '10.9.9.100';

/** xl's configuration of a guest; xl.cfg(5). */
export function guestConfig(number: number): string {
  return `name = "guest${number}"
uuid = "00000000-0000-4000-8000-00000000000${number}"
type = "pv"
kernel = "/boot/vmlinux"
ramdisk = "/boot/initrd.cpio"
extra = "${kernelArguments(number)}"
memory = ${GUEST_MIB}
vcpus = 1
disk = [ "format=raw,vdev=xvda,access=ro,script=lab-block,target=/dev/vda" ]
vif = [ "mac=00:16:3e:00:00:0${number},bridge=xenbr0,script=lab-vif" ]
`;
}

/** Names for addresses; the guests' last octet is their number, see image/tree/usr/local/lib/xen-lab/boot. */
export function hostsFile(): string {
  const guests = guestNumbers(GUESTS_MAX).map((number) => `10.9.9.${number} guest${number}\n`);
  return `127.0.0.1 localhost\n${DOM0_ADDRESS} dom0\n${guests.join('')}`;
}

/** Texts by path in the image. */
export function generatedFiles(): Map<string, string> {
  const configs = guestNumbers(GUESTS_MAX).map((number): [string, string] => [
    `etc/xen/guest${number}.cfg`,
    guestConfig(number),
  ]);
  return new Map([['etc/hosts', hostsFile()], ...configs]);
}

/** 1, 2, … as many as there are. */
export function guestNumbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}
