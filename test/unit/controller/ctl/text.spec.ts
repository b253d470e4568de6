// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { toJson } from '../../../../controller/ctl/show/json.js';
import { styleFor } from '../../../../controller/ctl/show/style.js';
import { displayWidth, padded, shortened, table } from '../../../../controller/ctl/show/text.js';

describe('text in a terminal', () => {
  it('is as wide as the terminal shows it', () => {
    for (const [text, width] of [
      ['', 0],
      ['work', 4],
      ['Büro', 4],
      ['Bu\u0308ro', 4],
      ['音楽', 4],
      ['한글', 4],
      ['🎧', 2],
      ['ａ', 2],
    ] as const) {
      assert.equal(displayWidth(text), width, text);
    }
  });

  it('is shortened between characters, never through a wide one', () => {
    assert.equal(shortened('work', 4), 'work');
    assert.equal(shortened('working', 4), 'wor~');
    assert.equal(shortened('音楽音', 5), '音楽~');
    assert.equal(shortened('音楽音', 4), '音~');
    assert.equal(shortened('work', 1), '~');
    assert.equal(shortened('work', 0), '');
  });

  it('stands in columns whatever it is made of', () => {
    assert.equal(padded('音', 4), '音  ');
    assert.equal(padded('音', 4, 'right'), '  音');
    assert.deepEqual(
      table(
        [{ title: 'NAME' }, { title: 'N', side: 'right' }],
        [
          ['音楽音', '1'],
          ['a', '10'],
        ],
      ),
      ['NAME     N', '音楽音   1', 'a       10'],
    );
  });

  it('is coloured in a terminal, unless the user does not want that', () => {
    const coloured = (isTerminal: boolean, env: NodeJS.ProcessEnv): boolean =>
      styleFor(isTerminal, env).title('x') !== 'x';

    assert.equal(coloured(true, {}), true);
    assert.equal(coloured(true, { NO_COLOR: '' }), true);
    assert.equal(coloured(true, { NO_COLOR: '1' }), false);
    assert.equal(coloured(true, { TERM: 'dumb' }), false);
    assert.equal(coloured(false, {}), false);
  });

  it('is JSON without characters that a terminal would obey, and the same to a program', () => {
    const value = { name: 'a\u001b[31m\u009b\u007f\u202e\u2028\u{e0001}z', 'n\u0085': [1] };
    const text = toJson(value, 2);

    assert.match(text, /^[\x20-\x7e\n]*$/);
    assert.deepEqual(JSON.parse(text), value);
  });
});
