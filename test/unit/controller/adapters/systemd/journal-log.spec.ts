// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { journalEntry } from '../../../../../controller/adapters/systemd/journal-log.js';

describe('an entry of the journal', () => {
  it('has each field with its length, and leaves out those without a value', () => {
    const entry = journalEntry({ MESSAGE: 'größe', XEN_GUEST: undefined });

    assert.deepEqual(
      entry,
      Buffer.concat([
        Buffer.from('MESSAGE\n'),
        Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]),
        Buffer.from('größe\n'),
      ]),
    );
  });

  it('does not take a value for fields', () => {
    const [text] = journalEntry({ MESSAGE: 'a\nPRIORITY=0\n' }).toString('latin1').split('\0');

    assert.equal(text, `MESSAGE\n${String.fromCharCode(13)}`);
  });
});
