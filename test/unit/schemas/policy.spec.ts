// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePolicy } from '../../../controller/adapters/system/policy-file.js';
import { evaluatePolicy } from '../../../controller/policy/evaluate.js';
import { explainPolicy } from '../../../controller/policy/explain.js';
import { POLICY_JSON_SCHEMA, policyJsonSchema } from '../../../scripts/lib/policy-json-schema.js';
import { paths } from '../../lib/paths.js';

const read = (...path: string[]): Promise<string> => readFile(join(paths.root, ...path), 'utf8');

/** Settings and their values of a guest that no rule names, as the documentation writes them. */
const settingsOf = (text: string): ReadonlyMap<string, string> => {
  const explained = explainPolicy(evaluatePolicy(parsePolicy('f', text), { uuid: '', xenName: '' }));
  return new Map(explained.map(({ setting, value }) => [setting, value]));
};

/** The first code blocks of a language. */
const examples = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(([, text = '']) => text);

describe('the policy as editors, administrators and readers see it', () => {
  it('is described for editors by the schema that xen-audiod checks with', async () => {
    assert.equal(
      await readFile(POLICY_JSON_SCHEMA, 'utf8'),
      await policyJsonSchema(),
      'schemas/policy.ts has changed: node build/js/scripts/lib/policy-json-schema-main.js makes the file anew',
    );
  });

  it('has a description of each setting for editors', async () => {
    const schema = JSON.parse(await policyJsonSchema()) as {
      properties: { default: { properties: Record<string, { description?: string }> } };
    };
    const { properties } = schema.properties.default;
    assert.deepEqual(
      Object.keys(properties).filter((setting) => (properties[setting]?.description ?? '') === ''),
      [],
    );
    assert.ok('volume-cap' in properties);
  });

  it('is documented with all its settings and what is built in', async () => {
    const cells = (await read('docs', 'policy.md'))
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) =>
        line.split(' | ').map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code)),
      );
    const documented = cells.flatMap(([settings = [], , builtIn = []]) =>
      settings.map((setting, index) => [setting, builtIn[index] ?? builtIn[0]] as const),
    );
    assert.deepEqual(new Map(documented), settingsOf(''));
  });

  it('has examples in its documentation that are accepted', async () => {
    const texts = examples(await read('docs', 'policy.md'), 'yaml');
    assert.equal(texts.length, 1);
    for (const text of texts) assert.ok(parsePolicy('f', text).rules.length > 0);
  });

  it('says in the installed sample what is built in, and shows rules that are accepted', async () => {
    const sample = await read('packaging', 'policy.yaml');
    const commented = sample.slice(sample.indexOf('# default:')).replaceAll(/^# ?/gm, '');
    assert.ok(parsePolicy('f', commented).rules.length > 0);
    assert.deepEqual(settingsOf(commented), settingsOf(''));
  });
});
