// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { nearestToSocket, socketOfServer } from '../../../../../controller/adapters/pulse/server-address.js';

describe("where a sound server's socket is", () => {
  for (const [server, expected] of [
    ['unix:/a/native', '/a/native'],
    ['/a/native', '/a/native'],
    ['{0123abc}unix:/a/native', '/a/native'],
    ['tcp:host:4713 unix:/a/native', '/a/native'],
    ['tcp:host:4713', undefined],
    ['host', undefined],
  ] as const) {
    it(`is ${expected ?? 'nowhere'} for ${server}`, () => {
      assert.equal(socketOfServer(server, {}), expected);
      assert.equal(socketOfServer(undefined, { PULSE_SERVER: server }), expected);
    });
  }

  it("is in the user's runtime folder, or the system's, where no server is named", () => {
    assert.equal(socketOfServer(undefined, { PULSE_RUNTIME_PATH: '/p', XDG_RUNTIME_DIR: '/x' }), '/p/native');
    assert.equal(socketOfServer(undefined, { XDG_RUNTIME_DIR: '/x' }), '/x/pulse/native');
    assert.equal(socketOfServer(undefined, {}), '/run/pulse/native');
  });

  it('is awaited where the first of its folders is missing', () => {
    const nearest = (...there: string[]): string | undefined =>
      nearestToSocket('/run/user/7/pulse/native', {}, (path) => there.includes(path));
    assert.equal(
      nearest('/', '/run', '/run/user', '/run/user/7', '/run/user/7/pulse'),
      '/run/user/7/pulse/native',
    );
    assert.equal(nearest('/', '/run', '/run/user'), '/run/user/7');
    assert.equal(nearest('/'), '/run');
  });
});
