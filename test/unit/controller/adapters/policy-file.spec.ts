// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePolicy, PolicyFile } from '../../../../controller/adapters/system/policy-file.js';
import { SystemClock } from '../../../../controller/adapters/system/system-clock.js';
import { hasCode } from '../../../../controller/util/errors.js';
import { Policy } from '../../../../schemas/policy.js';
import { FakeLog } from '../../../lib/fake-ports.js';
import { paths } from '../../../lib/paths.js';
import { waitFor } from '../../../lib/wait.js';

/** Text, the message. */
const BAD: readonly (readonly [string, string])[] = [
  ['default:\n  capture: maybe', 'f:2:3: default.capture: expected one of allow, deny, ask, found "maybe"'],
  ['default:\n  volume-cap: 151', 'f:2:3: default.volume-cap: expected at most 150, found 151'],
  ['default:\n  volume: loud', 'f:2:3: default.volume: expected a number, found "loud"'],
  ['default:\n  mute: 1', 'f:2:3: default.mute: expected true or false, found 1'],
  [
    'rules:\n  - guest: work',
    'f:2:5: rules.1.guests: expected the UUID of a VM, its name or a pattern, or a list of them, found nothing',
  ],
  [
    'rules:\n  - guests: work\n    capure: ask',
    'f:3:5: rules.1.capure: expected a known setting, found "ask"',
  ],
  [
    'default:\n  limits: { rate-min: 9000, rate-max: 8000 }',
    'f:2:13: default.limits.rate-min: expected a rate not above rate-max, found 9000',
  ],
  [
    'rules:\n  - guests: a\n  - guests: [b, "c\\td"]',
    'f:3:17: rules.2.guests.2: expected the UUID of a VM, its name or a pattern, in printable characters, found "c\\td"',
  ],
  ['rules:\n  - guests: []', 'f:2:5: rules.1.guests: expected at least 1 in the list, found an empty list'],
  [
    'rules:\n  - guests: 7',
    'f:2:5: rules.1.guests: expected the UUID of a VM, its name or a pattern, or a list of them, found 7',
  ],
  ['rules:\n  - name: ""\n    guests: a', 'f:2:5: rules.1.name: expected at least 1 character, found ""'],
  [
    'default:\n  sink: "a b"',
    'f:2:3: default.sink: expected the name of a sink or source, 1 to 128 letters, digits, dots, colons, dashes or underscores, found "a b"',
  ],
  [
    'default:\n  latency: { min-msec: 30, max-msec: 20 }',
    'f:2:14: default.latency.min-msec: expected a latency not above max-msec, found 30',
  ],
  ['default: { volume: -1 }', 'f:1:12: default.volume: expected at least 0, found -1'],
  ['default: { volume: 99.5 }', 'f:1:12: default.volume: expected a whole number, found 99.5'],
  ['default: { volume_cap: 9 }', 'f:1:12: default.volume_cap: expected a known setting, found 9'],
  ['default: { name: x }', 'f:1:12: default.name: expected a known setting, found "x"'],
  ['default: { guests: x }', 'f:1:12: default.guests: expected a known setting, found "x"'],
  ['default: { limits: { streams: 0 } }', 'f:1:22: default.limits.streams: expected at least 1, found 0'],
  ['default: { attach: yes }', 'f:1:12: default.attach: expected one of no, modules, kernel, found "yes"'],
  ['default:', 'f:1:1: default: expected a group of settings, found nothing'],
  ['rules: 7', 'f:1:1: rules: expected a list, found 7'],
  ['play: all', 'f:1:1: play: expected a known setting, found "all"'],
];

describe('parsePolicy', () => {
  for (const [text, message] of BAD) {
    it(`refuses ${JSON.stringify(text)} with place and expectation`, () => {
      assert.throws(
        () => parsePolicy('f', text),
        (error) => {
          assert.ok(hasCode(error, 'config'));
          assert.equal(error.message.split('\n')[0], message);
          return true;
        },
      );
    });
  }

  it('finds what is built in, in the sample that is installed', async () => {
    const sample = await readFile(join(paths.root, 'packaging', 'policy.yaml'), 'utf8');
    assert.deepEqual(parsePolicy('f', sample), Policy.parse({}));
  });
});

describe('PolicyFile', () => {
  let directory: string;
  let path: string;
  let log: FakeLog;
  let changes: number;
  let failure: Error | undefined;
  let file: PolicyFile;

  /** As editors do it: there is no moment in which it is half written. */
  const replace = async (text: string): Promise<void> => {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  };

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'xa-'));
    path = join(directory, 'policy.yaml');
    [log, changes] = [new FakeLog(), 0];
    failure = undefined;
    file = new PolicyFile(path, new SystemClock(), log, () => {
      changes += 1;
      return failure === undefined ? Promise.resolve() : Promise.reject(failure);
    });
  });

  afterEach(async () => {
    await file.stop();
    await rm(directory, { recursive: true });
  });

  it('holds what is built in without a file, and takes the file when it comes, however it comes', async () => {
    await file.start();
    assert.deepEqual(file.policy, Policy.parse({}));

    await replace('default: { capture: deny }');
    await waitFor('the policy', () => file.policy.default.capture === 'deny');
    assert.equal(changes, 1);
    await writeFile(path, 'default: { capture: allow }');
    await waitFor('the next', () => file.policy.default.capture === 'allow');
    await rm(path);
    await waitFor('none', () => file.policy.default.capture === undefined);
  });

  it('keeps what was in force while the file makes no sense, and says so once', async () => {
    await writeFile(path, 'default: { capture: deny }');
    await file.start();
    await writeFile(path, 'default: { capture: some }');

    await assert.rejects(file.reload(), /policy.yaml:1:12: default.capture: expected one of/);
    await assert.rejects(file.reload());
    assert.equal(file.policy.default.capture, 'deny');
    assert.match(file.error, /expected one of/);
    assert.equal(log.matching(/^error policy policy left as it was/).length, 1);

    await writeFile(path, 'default: { capture: deny }');
    await file.reload();
    assert.equal(file.error, '');
  });

  it('tells again what has not reached everybody', async () => {
    await file.start();
    await replace('default: { capture: deny }');
    failure = new Error('xenstore is slow');
    await waitFor(
      'the attempt',
      () => log.matching(/^error policy .* reload it: xenstore is slow/).length === 1,
    );
    assert.equal(file.policy.default.capture, 'deny');
    await assert.rejects(file.reload(), failure);
    failure = undefined;
    await file.reload();
    await file.reload();
    assert.equal(changes, 3);
  });

  it('holds what is built in when the folder goes, says so, and watches again when it is reloaded', async () => {
    await writeFile(path, 'default: { capture: deny }');
    await file.start();
    await rm(directory, { recursive: true });
    await waitFor(
      'the end',
      () => log.matching(/^warning .* not noticed until it is reloaded by hand/).length === 1,
    );
    await waitFor('what is built in', () => file.policy.default.capture === undefined);

    await mkdir(directory);
    await file.reload();
    await writeFile(path, 'default: { capture: allow }');
    await waitFor('the policy', () => file.policy.default.capture === 'allow');
  });

  it('starts without the folder, and says that it cannot be watched', async () => {
    await rm(directory, { recursive: true });
    await file.start();
    assert.deepEqual(file.policy, Policy.parse({}));
    assert.equal(log.matching(/^warning policy .*policy.yaml: a change is not noticed .*ENOENT/).length, 1);
    await mkdir(directory);
  });

  it('says that a bad file is no longer there', async () => {
    await writeFile(path, 'default: { capture: deny }');
    await file.start();
    await replace('default: 1');
    await waitFor('the refusal', () => file.error !== '');
    await rm(path);
    await waitFor('what is built in', () => file.error === '');
    assert.equal(file.policy.default.capture, undefined);
    assert.equal(changes, 2);
  });

  it('does not start with a file that makes no sense', async () => {
    await writeFile(path, 'default: 1');
    await assert.rejects(file.start(), { code: 'config' });
  });
});
