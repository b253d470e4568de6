// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runDoctor } from '../../../controller/doctor/doctor.js';
import { SystemPort } from '../../../controller/doctor/system-port.js';
import { Host } from '../../host/host.js';
import { paths } from '../../lib/paths.js';

/** Text of strings in sources, which lines may break and escape. */
const plain = (text: string): string =>
  text
    .replace(/\\"/g, '"')
    .replace(/"\s*\n?\s*"/g, '')
    .replace(/'\s*\+?\s*'/g, '');

/** Not by another object in the place of process.env: that would no longer be the environment of this process. */
const restore = (variables: Readonly<Record<string, string | undefined>>): void => {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
};

describe('the doctor on a machine', () => {
  it('finds the xenstore, the libraries and the sound server of a host', async () => {
    const host = await Host.start();
    const { XENSTORED_PATH, PULSE_SERVER } = process.env;
    try {
      process.env['XENSTORED_PATH'] = host.xen.dom0Env['XENSTORED_PATH'];
      process.env['PULSE_SERVER'] = host.pulse.server;

      const { checks } = await runDoctor({}, new SystemPort(undefined));

      const found = Object.fromEntries(
        checks.map(({ id, status, finding }) => [id, `${status}: ${finding}`]),
      );
      assert.equal(found['xenstore'], 'ok: answers; this is domain 0');
      assert.match(found['libraries'] ?? '', /^ok: libxenstore/);
      assert.match(found['sound-server'] ?? '', /^ok: PulseAudio \d+\.\d/);
      assert.match(found['default-devices'] ?? '', /sink "/);
    } finally {
      restore({ XENSTORED_PATH, PULSE_SERVER });
      await host.stop();
    }
  });
});

describe('docs/troubleshooting.md', () => {
  it('has messages as they are logged', async () => {
    const sources: string[] = [];
    for (const [folder, pattern] of [
      ['pa-modules', /^(?!tests).*\.[ch]$/],
      ['controller', /\.ts$/],
    ] as const) {
      for (const name of await readdir(join(paths.root, folder), { recursive: true })) {
        if (pattern.test(name)) sources.push(plain(await readFile(join(paths.root, folder, name), 'utf8')));
      }
    }
    const guide = await readFile(join(paths.root, 'docs/troubleshooting.md'), 'utf8');
    const tables = guide.slice(guide.indexOf('## xen-audiod'), guide.indexOf('## It says nothing'));
    const messages = [...tables.matchAll(/^\| `([^`]+)` \|/gm)].map(([, message = '']) => message);
    assert.ok(messages.length > 20);

    for (const message of messages) {
      for (const part of message.split('…')) {
        const words = part.replace(/^[^A-Za-z/]+|[^A-Za-z/]+$/g, '');
        assert.ok(
          sources.some((source) => source.includes(words)),
          `nobody says '${words}', of '${message}'`,
        );
      }
    }
  });
});
