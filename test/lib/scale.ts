// SPDX-License-Identifier: LGPL-2.1-or-later
/** How much a run of the tests tries. */

/** XEN_AUDIO_TEST_FULL=1: minutes instead of parts of them, and on real Xen as often as elsewhere, which takes hours there. */
export const FULL = process.env['XEN_AUDIO_TEST_FULL'] === '1';

/** Which Xen the tests of this run get: 'emulated' (the default), or 'real' when they run in the dom0 of one. */
export const XEN_OF_RUN = 'XEN_AUDIO_TEST_XEN';

/** On real Xen in the lab (docs/xen-lab.md) the host's load does not show, and a second costs many. */
export const IN_LAB = process.env[XEN_OF_RUN] === 'real';
