// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseConfig } from '../../../../controller/adapters/system/config-file.js';
import { hasCode } from '../../../../controller/util/errors.js';
import { DaemonConfig } from '../../../../schemas/config.js';
import { paths } from '../../../lib/paths.js';

/** Text, the message. */
const BAD: readonly (readonly [string, string])[] = [
  ['logLevel: loud', 'f:1:1: logLevel: expected one of error, warning, info, debug, found "loud"'],
  ['\nhandshake:\n  timeoutMs: two', 'f:3:3: handshake.timeoutMs: expected a number, found "two"'],
  ['handshake:\n  timeoutMs: 0', 'f:2:3: handshake.timeoutMs: expected at least 100, found 0'],
  ['handshake:\n  timeoutMs: 100.5', 'f:2:3: handshake.timeoutMs: expected a whole number, found 100.5'],
  ['handshake:\n  timeoutMs: 70000', 'f:2:3: handshake.timeoutMs: expected at most 60000, found 70000'],
  [
    'pulse:\n  modules:\n    backend: ../x',
    'f:3:5: pulse.modules.backend: expected 1 to 128 letters, digits, dots, colons, dashes or underscores, found "../x"',
  ],
  ['pulse: 3', 'f:1:1: pulse: expected a group of settings, found 3'],
  ['pulse:\n', 'f:1:1: pulse: expected a group of settings, found nothing'],
  ['handshake:\n  timeOutMs: 1', 'f:2:3: handshake.timeOutMs: expected a known setting, found 1'],
  ['colour: red', 'f:1:1: colour: expected a known setting, found "red"'],
  ['- a', 'f:1:1: the file: expected a group of settings, found a list'],
  ['42', 'f:1:1: the file: expected a group of settings, found 42'],
];

const failure = (text: string): Error => {
  try {
    parseConfig('f', text);
  } catch (error) {
    assert.ok(hasCode(error, 'config'));
    return error;
  }
  return assert.fail('the text was accepted');
};

describe('parseConfig', () => {
  for (const [text, message] of BAD) {
    it(`refuses ${JSON.stringify(text)} with place and expectation`, () => {
      assert.equal(failure(text).message, message);
    });
  }

  it('names every fault, one a line', () => {
    assert.equal(failure('logLevel: 1\nhandshake:\n  timeoutMs: x\n').message.split('\n').length, 2);
  });

  it('refuses what is not YAML with the place', () => {
    assert.match(failure('pulse: {').message, /^f:1:\d+: expected YAML/);
    assert.match(failure('a: 1\na: 2').message, /^f:2:1: expected YAML/);
  });

  it('fills in defaults', () => {
    for (const text of ['', '# nothing\n', '{}', 'pulse: {}']) {
      assert.deepEqual(parseConfig('f', text), DaemonConfig.parse({}));
    }
  });

  it('finds the defaults in the sample that is installed', async () => {
    const sample = await readFile(join(paths.root, 'packaging', 'xen-audiod.yaml'), 'utf8');

    assert.deepEqual(parseConfig('f', sample), DaemonConfig.parse({}));
  });
});
