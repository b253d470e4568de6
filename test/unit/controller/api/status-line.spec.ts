// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import type { GuestState, ManagerState } from '../../../../controller/api/state.js';
import { statusLine } from '../../../../controller/api/status-line.js';

const manager: ManagerState = {
  version: '1.2.3',
  ownDomain: 0,
  xenstoreUp: true,
  soundServerUp: true,
  policyFile: '/etc/xen-audio/policy.yaml',
  policyError: '',
};
/** Only what is counted. */
const guest = (streams: number, playbackActive: boolean, captureActive: boolean): GuestState =>
  ({ streams: Array(streams).fill({}), playbackActive, captureActive }) as unknown as GuestState;

describe('the status line', () => {
  it('counts guests, streams, and those that play and record', () => {
    assert.equal(
      statusLine(manager, [guest(2, true, true), guest(1, true, false)]),
      'serving 2 guests, 3 streams, 2 playing, 1 recording',
    );
    assert.equal(
      statusLine(manager, [guest(1, false, false)]),
      'serving 1 guest, 1 stream, 0 playing, 0 recording',
    );
  });

  it('says what is missing', () => {
    assert.equal(statusLine({ ...manager, xenstoreUp: false }, []), 'waiting for xenstore');
    assert.match(
      statusLine({ ...manager, soundServerUp: false, policyError: 'policy.yaml:1:1: …' }, []),
      /recording, no sound server, the policy file is refused$/,
    );
  });
});
