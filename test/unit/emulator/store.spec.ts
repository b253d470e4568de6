// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import * as operations from '../../emulator/xenstore/operations.js';
import {
  formatPermissions,
  ownedBy,
  parsePermissions,
  readableBy,
} from '../../emulator/xenstore/permissions.js';
import { Store } from '../../emulator/xenstore/store.js';
import { Transaction } from '../../emulator/xenstore/transactions.js';

const dom0 = { domid: 0 };
const guest = { domid: 5 };
const stranger = { domid: 6 };

/** A store with /guest, owned by the guest, and /secret, which only dom0 sees. */
function makeStore(): Store {
  const store = new Store();
  operations.put(store, '/guest', 'here', readableBy(5, 6));
  operations.put(store, '/secret/deep', 'hidden', ownedBy(0));
  return store;
}

const value = (text: string): Buffer => Buffer.from(text);
const paths = (changes: readonly operations.Change[]): string[] => changes.map(({ path }) => path);

describe('xenstore nodes', () => {
  it('creates missing parents, empty, with the permissions of the nearest ancestor', () => {
    const store = makeStore();

    const changes = operations.write(store, dom0, '/guest/a/b', value('x'));

    assert.deepEqual(paths(changes), ['/guest/a/b']);
    assert.equal(operations.read(store, guest, '/guest/a').toString(), '');
    assert.deepEqual(formatPermissions(operations.getPermissions(store, stranger, '/guest/a/b')), [
      'n5',
      'r6',
    ]);
  });

  it('keeps children when a value is replaced', () => {
    const store = makeStore();
    operations.write(store, guest, '/guest/a', value('1'));

    operations.write(store, guest, '/guest', value('2'));

    assert.deepEqual(operations.directory(store, guest, '/guest'), ['a']);
  });

  it('leaves an existing node alone on mkdir', () => {
    const store = makeStore();
    assert.deepEqual(operations.mkdir(store, guest, '/guest'), []);
    assert.equal(operations.read(store, guest, '/guest').toString(), 'here');
  });

  it('removes a node with all below it and names each of them', () => {
    const store = makeStore();
    operations.write(store, guest, '/guest/a/b', value('x'));

    const changes = operations.rm(store, guest, '/guest/a');

    assert.deepEqual(
      changes.map(({ path, isExact }) => [path, isExact]),
      [
        ['/guest/a', false],
        ['/guest/a/b', true],
      ],
    );
    assert.deepEqual(operations.directory(store, guest, '/guest'), []);
  });

  it('counts its nodes with the root', () => {
    assert.equal(makeStore().countNodes(), 4);
  });

  const refusals: { title: string; act: (store: Store) => unknown; code: string }[] = [
    { title: 'a missing node', act: (store) => operations.read(store, dom0, '/none'), code: 'ENOENT' },
    { title: 'a hidden node', act: (store) => operations.read(store, guest, '/secret'), code: 'EACCES' },
    {
      title: 'a missing node in a hidden place',
      act: (store) => operations.read(store, guest, '/secret/no'),
      code: 'EACCES',
    },
    {
      title: 'writing what one may only read',
      act: (store) => operations.write(store, stranger, '/guest', value('')),
      code: 'EACCES',
    },
    {
      title: 'creating below what one may only read',
      act: (store) => operations.mkdir(store, stranger, '/guest/x'),
      code: 'EACCES',
    },
    {
      title: 'removing what one may only read',
      act: (store) => operations.rm(store, stranger, '/guest'),
      code: 'EACCES',
    },
    { title: 'removing the root', act: (store) => operations.rm(store, dom0, '/'), code: 'EINVAL' },
    {
      title: 'removing below a missing parent',
      act: (store) => operations.rm(store, dom0, '/none/x'),
      code: 'ENOENT',
    },
    {
      title: 'permissions of a node of another',
      act: (store) => operations.setPermissions(store, stranger, '/guest', ownedBy(6)),
      code: 'EACCES',
    },
    {
      title: 'giving a node away',
      act: (store) => operations.setPermissions(store, guest, '/guest', ownedBy(6)),
      code: 'EPERM',
    },
  ];
  for (const { title, act, code } of refusals) {
    it(`refuses ${title} with ${code}`, () => {
      const store = makeStore();
      const before = store.root;
      assert.throws(() => act(store), { code });
      assert.equal(store.root, before);
    });
  }

  it('is content when a node to be removed is missing', () => {
    assert.deepEqual(operations.rm(makeStore(), guest, '/guest/none'), []);
  });

  it('removes everything a domain owns', () => {
    const store = makeStore();
    operations.put(store, '/shared', '', ownedBy(0));
    operations.put(store, '/shared/its', '', ownedBy(5));

    operations.removeOwnedBy(store, 5);

    assert.deepEqual(operations.directory(store, dom0, '/'), ['secret', 'shared']);
    assert.deepEqual(operations.directory(store, dom0, '/shared'), []);
  });
});

describe('xenstore transactions', () => {
  it('show their own changes, and nobody else does until they are committed', () => {
    const store = makeStore();
    const transaction = new Transaction(store);
    operations.write(transaction, guest, '/guest/a', value('1'));

    assert.equal(operations.read(transaction, guest, '/guest/a').toString(), '1');
    assert.throws(() => operations.read(store, guest, '/guest/a'), { code: 'ENOENT' });
    assert.ok(transaction.commit(store));
    assert.equal(operations.read(store, guest, '/guest/a').toString(), '1');
  });

  it('see the store as it was when they started', () => {
    const store = makeStore();
    const transaction = new Transaction(store);

    operations.write(store, guest, '/guest', value('later'));

    assert.equal(operations.read(transaction, guest, '/guest').toString(), 'here');
  });

  it('leave what others have done elsewhere in place', () => {
    const store = makeStore();
    const transaction = new Transaction(store);
    operations.write(transaction, guest, '/guest/mine', value('1'));

    operations.write(store, dom0, '/secret/deep/new', value('2'));

    assert.ok(transaction.commit(store));
    assert.equal(operations.read(store, dom0, '/secret/deep/new').toString(), '2');
    assert.equal(operations.read(store, dom0, '/guest/mine').toString(), '1');
  });

  const conflicts: {
    title: string;
    inside: (view: Transaction) => unknown;
    outside: (store: Store) => unknown;
  }[] = [
    {
      title: 'a node it has read is written',
      inside: (view) => operations.read(view, guest, '/guest'),
      outside: (store) => operations.write(store, guest, '/guest', value('x')),
    },
    {
      title: 'a node it has read is written with the same value',
      inside: (view) => operations.read(view, guest, '/guest'),
      outside: (store) => operations.write(store, guest, '/guest', value('here')),
    },
    {
      title: 'a directory it has listed gets a child',
      inside: (view) => operations.directory(view, guest, '/guest'),
      outside: (store) => operations.mkdir(store, guest, '/guest/child'),
    },
    {
      title: 'a node it has found missing is created',
      inside: (view) => {
        assert.throws(() => operations.read(view, guest, '/guest/new'), { code: 'ENOENT' });
      },
      outside: (store) => operations.mkdir(store, guest, '/guest/new'),
    },
    {
      title: 'a node it has written is removed',
      inside: (view) => operations.write(view, guest, '/guest', value('x')),
      outside: (store) => operations.rm(store, guest, '/guest'),
    },
    {
      title: 'something below what it has removed is written',
      inside: (view) => operations.rm(view, dom0, '/secret'),
      outside: (store) => operations.write(store, dom0, '/secret/deep', value('x')),
    },
    {
      title: 'permissions it has read are changed',
      inside: (view) => operations.getPermissions(view, guest, '/guest'),
      outside: (store) => operations.setPermissions(store, guest, '/guest', parsePermissions(['r5'])),
    },
  ];
  for (const { title, inside, outside } of conflicts) {
    it(`conflict when ${title}`, () => {
      const store = makeStore();
      const transaction = new Transaction(store);
      inside(transaction);
      outside(store);
      const before = store.root;
      assert.equal(transaction.commit(store), false);
      assert.equal(store.root, before);
    });
  }

  it('are void after a resume', () => {
    const store = makeStore();
    const transaction = new Transaction(store);
    transaction.isStale = true;
    assert.equal(transaction.commit(store), false);
  });
});
