// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { StreamLog } from '../../../../controller/adapters/system/stream-log.js';

describe('the log of lines', () => {
  it('writes what its level lets through, one line per event, and makes no other message', () => {
    const out = new PassThrough({ encoding: 'utf8' });
    const log = new StreamLog('warning', out);

    log.error('device', 'a\nb', { guest: 'work' });
    log.info('device', () => assert.fail('made in vain'));
    log.setLevel('debug');
    log.debug('pulse', () => 'c');

    assert.equal(out.read(), 'error device a b\ndebug pulse c\n');
  });
});
