// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { formatModargs, tryParseModargs } from '../../../../controller/sndif/modargs.js';

const TEXTS = [
  '',
  'plain',
  'two words',
  'quote " inside',
  'a \\ backslash',
  'ends in a backslash \\',
  '\\"',
  "single 'quotes'",
  'name" domid="0',
  'line\nbreak\ttab',
  'größe 音',
  '=',
];

describe('formatModargs', () => {
  for (const text of TEXTS) {
    it(`gives back ${JSON.stringify(text)} after a round trip`, () => {
      const values = { domid: '7', guest: text, control: '/local/domain/0/data' };

      assert.deepEqual(tryParseModargs(formatModargs(values)), values);
    });
  }

  it('drops NUL, which would end the text', () => {
    assert.equal(formatModargs({ guest: 'a\0b' }), 'guest="ab"');
  });
});

describe('tryParseModargs', () => {
  for (const text of ['sink_name=plain', 'a="1" b', 'a="1', 'a="1\\"', '="1"']) {
    it(`does not take ${JSON.stringify(text)} for its own`, () => {
      assert.equal(tryParseModargs(text), undefined);
    });
  }

  it('takes no arguments for none', () => {
    assert.deepEqual(tryParseModargs(''), {});
  });
});
