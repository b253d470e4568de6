// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestShape, StreamShape } from '../../../../controller/ctl/client/shapes.js';
import { COMMAND_NAMES } from '../../../../controller/ctl/help.js';
import { Status } from '../../../../controller/ctl/status.js';
import { paths } from '../../../lib/paths.js';

describe('the manual page of xen-audioctl', () => {
  const page = readFileSync(join(paths.root, 'docs/man/xen-audioctl.1'), 'utf8').replaceAll('\\-', '-');

  it('describes every command', () => {
    for (const name of COMMAND_NAMES) assert.match(page, new RegExp(`^\\.B[I]? "?${name}["\\s]`, 'm'), name);
  });

  it('describes every exit status', () => {
    for (const status of Object.values(Status)) assert.match(page, new RegExp(`^\\.B ${status}$`, 'm'));
  });

  it('describes every member of a guest and a stream', () => {
    const members = [GuestShape, StreamShape].flatMap(({ in: { shape } }) => Object.keys(shape));
    for (const member of members.filter((name) => name !== 'Guest')) {
      const json = `${member.charAt(0).toLowerCase()}${member.slice(1)}`;
      assert.match(page, new RegExp(`\\b${json}(?:Usec)?\\b`), json);
    }
  });
});
