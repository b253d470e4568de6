// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { listDomains } from '../../../../controller/toolstack/domains.js';
import { FakeXenstore } from '../../../lib/fake-ports.js';

const UUIDS = ['6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10', '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b11'] as const;

describe('running domains', () => {
  it('are those that are introduced, but for this one, with what the toolstack calls them', async () => {
    const xenstore = new FakeXenstore();
    for (const domid of ['0', '7', '8', '9', 'x', '99999']) xenstore.put(`/local/domain/${domid}`, '');
    for (const domid of [0, 7, 9]) xenstore.introduced.add(domid);
    xenstore.putAll('/local/domain/7', { name: 'music', vm: `/vm/${UUIDS[0].toUpperCase()}` });
    xenstore.putAll('/local/domain/8', { name: 'being built', vm: `/vm/${UUIDS[1]}` });

    assert.deepEqual(await listDomains(xenstore, 0), [
      { domid: 7, name: 'music', uuid: UUIDS[0] },
      { domid: 9, name: '', uuid: '' },
    ]);
  });
});
