// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { evaluateCapture, type GuestIdentity } from '../../../../controller/policy/capture.js';

const UUID = '6a9e3c52-1d6f-4f0e-9f2b-0a4f3f2c1b10';
const OTHER = '11111111-1d6f-4f0e-9f2b-0a4f3f2c1b10';
const work: GuestIdentity = { uuid: UUID, xenName: 'work' };

const mayRecord = (allowed: readonly string[], guest: GuestIdentity): boolean =>
  evaluateCapture({ allowed: [...allowed] }, guest).allowed;

describe('evaluateCapture', () => {
  it('lets nobody record by default', () => {
    const decision = evaluateCapture({ allowed: [] }, work);

    assert.equal(decision.allowed, false);
    assert.equal(decision.reason, `capture.allowed has neither its UUID ${UUID} nor its name "work"`);
  });

  it('knows a guest by its UUID, in either case, and by its name, in its own', () => {
    assert.equal(mayRecord([UUID], work), true);
    assert.equal(mayRecord([UUID.toUpperCase()], work), true);
    assert.equal(mayRecord(['home', 'work'], work), true);
    assert.equal(mayRecord(['Work'], work), false);
    assert.equal(mayRecord(['wor', 'work2', OTHER], work), false);
  });

  it("does not take a guest named like another one's UUID for it", () => {
    assert.equal(mayRecord([UUID], { uuid: OTHER, xenName: UUID }), false);
  });

  it('lets nobody pass who has neither UUID nor name', () => {
    assert.equal(mayRecord(['domain 7', UUID], { uuid: '', xenName: '' }), false);
  });
});
