// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { parseYaml, readTextFile } from '../../../../controller/adapters/system/yaml-file.js';
import { hasCode } from '../../../../controller/util/errors.js';

const Schema = z.strictObject({
  name: z.string().max(4).optional(),
  on: z.boolean().optional(),
  group: z.strictObject({ count: z.number().int().min(1).optional() }).optional(),
  either: z.union([z.string(), z.array(z.string())], { error: 'a text or a list of them' }).optional(),
  list: z
    .array(z.strictObject({ kind: z.enum(['a', 'b']) }))
    .min(1)
    .optional(),
});

const TIMES_NINE = (what: string): string => `[${Array<string>(9).fill(what).join(', ')}]`;

/** Text, the messages. */
const BAD: readonly (readonly [string, ...string[]])[] = [
  // what is there instead
  ['list: 3', 'f:1:1: list: expected a list, found 3'],
  ['list: {}', 'f:1:1: list: expected a list, found a group of settings'],
  ['list: []', 'f:1:1: list: expected at least 1 in the list, found an empty list'],
  ['group: [1]', 'f:1:1: group: expected a group of settings, found a list'],
  ['group:', 'f:1:1: group: expected a group of settings, found nothing'],
  ['name: 3', 'f:1:1: name: expected text, found 3'],
  ['name: abcde', 'f:1:1: name: expected at most 4 characters, found "abcde"'],
  ['on: yes', 'f:1:1: on: expected true or false, found "yes"'],
  ['group: { count: .nan }', 'f:1:10: group.count: expected a number, found NaN'],
  ['group: { count: 1e400 }', 'f:1:10: group.count: expected a number, found Infinity'],
  ['- name', 'f:1:1: the file: expected a group of settings, found a list'],
  // where
  ['list:\n  - kind: a\n  - kind: c', 'f:3:5: list.2.kind: expected one of a, b, found "c"'],
  ['list:\n  - kind: a\n  - {}', 'f:3:5: list.2.kind: expected one of a, b, found nothing'],
  ['either: 3', 'f:1:1: either: expected a text or a list of them, found 3'],
  ['either:\n  - a\n  - 3', 'f:3:5: either.2: expected text, found 3'],
  ['"group": {\r\n "count": 0 }', 'f:2:2: group.count: expected at least 1, found 0'],
  [
    'x: &x { count: 0 }\ngroup: *x',
    'f:1:1: x: expected a known setting, found a group of settings',
    'f:2:1: group.count: expected at least 1, found 0',
  ],
  [
    'on: 1\nzoo: 1\nname: 1',
    'f:1:1: on: expected true or false, found 1',
    'f:2:1: zoo: expected a known setting, found 1',
    'f:3:1: name: expected text, found 1',
  ],
  // names that JavaScript knows
  [
    'group: { __proto__: { count: 1 } }',
    'f:1:10: group.__proto__: expected a known setting, found a group of settings',
  ],
  ['constructor: 1', 'f:1:1: constructor: expected a known setting, found 1'],
  [
    'list:\n  - toString: 1',
    'f:2:5: list.1.kind: expected one of a, b, found nothing',
    'f:2:5: list.1.toString: expected a known setting, found 1',
  ],
  // what is no YAML of ours
  ['on: true\n\tname: x', 'f:2:1: expected YAML, found: Tabs are not allowed as indentation'],
  ['on: true\non: true', 'f:2:1: expected YAML, found: Map keys must be unique'],
  ['on: true\n---\non: true', 'f:2:1: expected YAML, found: a second document'],
  ['name: !secret x', 'f:1:7: expected YAML, found: Unresolved tag: !secret'],
  ['group: !!set { count }', 'f:1:8: expected YAML, found: Unresolved tag: tag:yaml.org,2002:set'],
  [
    'on: true\nname: *x',
    'f:2:7: expected YAML, found: Unresolved alias (the anchor must be set before the alias): x',
  ],
  [
    `a: &a ${TIMES_NINE('x')}\nb: &b ${TIMES_NINE('*a')}\nc: &c ${TIMES_NINE('*b')}\nd: ${TIMES_NINE('*c')}`,
    'f:1:1: expected YAML, found: Excessive alias count indicates a resource exhaustion attack',
  ],
];

const failure = (text: string): string => {
  try {
    parseYaml(Schema, 'f', text);
  } catch (error) {
    assert.ok(hasCode(error, 'config'), String(error));
    return error.message;
  }
  return assert.fail('the text was accepted');
};

describe('parseYaml', () => {
  for (const [text, ...messages] of BAD) {
    it(`refuses ${JSON.stringify(text.slice(0, 60))} with place and expectation`, () => {
      assert.deepEqual(failure(text).split('\n'), messages);
    });
  }

  it('refuses what is nested without end', () => {
    assert.match(failure('['.repeat(20_000)), /^f:1:\d+: expected YAML, found/);
  });

  it('takes YAML 1.2 whatever the text says: "no" is a word', () => {
    assert.deepEqual(parseYaml(Schema, 'f', '%YAML 1.1\n---\nname: no').value, { name: 'no' });
  });

  it('knows the line of what it read, or of what it would be in', () => {
    const { lineOf } = parseYaml(Schema, 'f', '# first\nlist:\n  - kind: a\n\n  - kind: b\n');
    assert.deepEqual([lineOf(['list']), lineOf(['list', 1]), lineOf(['list', 1, 'none'])], [2, 5, 5]);
  });
});

describe('readTextFile', () => {
  let directory: string;
  let path: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    path = join(directory, 'file');
  });

  afterEach(() => rm(directory, { recursive: true }));

  it('reads text, without its byte order mark', async () => {
    await writeFile(path, '\ufeffgrün');
    assert.equal(await readTextFile(path), 'grün');
  });

  it('gives nothing of a file that is absent', async () => {
    assert.equal(await readTextFile(path), undefined);
  });

  it('refuses a folder', async () => {
    await mkdir(path);
    await assert.rejects(readTextFile(path), {
      code: 'config',
      message: `${path}: cannot be read: it is not a regular file`,
    });
  });

  it('does not wait for a FIFO', async () => {
    await promisify(execFile)('mkfifo', [path]);
    await assert.rejects(readTextFile(path), /it is not a regular file/);
  });

  it('refuses what is too large to be settings', async () => {
    await writeFile(path, '');
    await truncate(path, 1_048_577);
    await assert.rejects(readTextFile(path), /it has more than 1048576 octets/);
  });

  it('refuses what is not UTF-8', async () => {
    await writeFile(path, Buffer.from([0x64, 0xff, 0xfe]));
    await assert.rejects(readTextFile(path), { code: 'config' });
  });
});
