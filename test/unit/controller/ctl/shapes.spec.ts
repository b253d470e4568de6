// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { interfaceXml } from '../../../../controller/ctl/client/interfaces.js';
import { GuestShape, StreamShape } from '../../../../controller/ctl/client/shapes.js';
import { paths } from '../../../lib/paths.js';

describe('what xen-audioctl expects of the daemon', () => {
  for (const [name, shape] of [
    ['Guest1', GuestShape],
    ['Stream1', StreamShape],
  ] as const) {
    it(`is what packaging/dbus says of ${name}`, () => {
      const xml = readFileSync(join(paths.root, `packaging/dbus/org.xenproject.Audio1.${name}.xml`), 'utf8');
      const described = [...xml.matchAll(/<property name="(\w+)"/g)].map(([, property]) => property);

      assert.deepEqual(Object.keys(shape.in.shape).sort(), described.sort());
    });
  }

  it('is a document with the interface and the standard ones', () => {
    const names = [...interfaceXml('org.xenproject.Audio1.Guest1').matchAll(/<interface name="([^"]+)"/g)];

    assert.deepEqual(
      names.map(([, name]) => name),
      [
        'org.xenproject.Audio1.Guest1',
        'org.freedesktop.DBus.Properties',
        'org.freedesktop.DBus.ObjectManager',
      ],
    );
  });
});
