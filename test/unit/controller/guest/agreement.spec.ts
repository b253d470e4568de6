// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { Agreement, type Stamped } from '../../../../controller/guest/agreement.js';
import { Random } from '../../../lib/random.js';

/** A module and the two ways to it, on which messages travel for a while. */
class Module {
  readonly requests: Stamped<number>[] = [];
  readonly reports: Stamped<number>[] = [];
  #serial = 0;

  constructor(public volume: number) {}

  /** What an adopting controller finds. */
  get standing(): Stamped<number> {
    return { serial: this.#serial, value: this.volume };
  }

  /** Somebody moves the slider. */
  slide(volume: number): void {
    this.volume = volume;
    this.reports.push({ serial: this.#serial, value: volume });
  }

  /** The oldest request arrives. */
  act(): void {
    const request = this.requests.shift();
    if (request === undefined || request.serial === this.#serial) return;
    this.#serial = request.serial;
    this.volume = request.value;
    this.reports.push(request);
  }
}

describe('Agreement', () => {
  it('begins a stream with what is, once', () => {
    const agreement = new Agreement(100);
    assert.deepEqual(agreement.begin('a'), { serial: 1, value: 100 });
    assert.equal(agreement.report('a', { serial: 1, value: 100 }), undefined);
    assert.equal(agreement.value, 100);
  });

  it('follows the slider of one stream with the others', () => {
    const agreement = new Agreement(100);
    agreement.begin('a');
    agreement.begin('b');
    assert.deepEqual(
      [...(agreement.report('a', { serial: 1, value: 60 }) ?? [])],
      [['b', { serial: 2, value: 60 }]],
    );
    assert.equal(agreement.value, 60);
  });

  it('takes a report that crossed with a request for history', () => {
    const agreement = new Agreement(100);
    agreement.begin('a');
    agreement.set(50);
    assert.equal(agreement.report('a', { serial: 1, value: 70 }), undefined);
    assert.equal(agreement.value, 50);
  });

  it('takes over what an adopted stream says, and sets it when it has never acted on the last request', () => {
    const agreement = new Agreement(100);
    assert.equal(agreement.begin('a', { serial: 4, value: 100 }, { serial: 4, value: 30 }), undefined);
    assert.equal(agreement.value, 30);
    assert.deepEqual(agreement.begin('b', { serial: 7, value: 20 }, { serial: 6, value: 10 }), {
      serial: 8,
      value: 30,
    });
  });

  it('counts on where an adopted stream left off', () => {
    const agreement = new Agreement(100);
    agreement.begin('a', { serial: 2 ** 32 - 1, value: 100 }, { serial: 2 ** 32 - 1, value: 100 });
    assert.deepEqual([...agreement.set(10)], [['a', { serial: 0, value: 10 }]]);
  });

  it('ends with all views equal after any changes from all sides, and falls silent', () => {
    const random = new Random(1);
    for (let round = 0; round < 200; round += 1) {
      const agreement = new Agreement(100);
      const modules = new Map(['a', 'b', 'c'].map((name) => [name, new Module(0)]));
      const send = (requests: ReadonlyMap<string, Stamped<number>> | undefined): void => {
        for (const [name, request] of requests ?? []) modules.get(name)?.requests.push(request);
      };
      for (const name of modules.keys()) {
        const request = agreement.begin(name);
        if (request !== undefined) send(new Map([[name, request]]));
      }
      const hear = (name: string, module: Module): boolean => {
        const report = module.reports.shift();
        if (report !== undefined) send(agreement.report(name, report));
        return report !== undefined;
      };
      for (let change = 0; change < 50; change += 1) {
        const [name, module] = [...modules][random.below(3)] ?? assert.fail();
        const kind = random.below(4);
        if (kind === 0) send(agreement.set(random.below(1000)));
        else if (kind === 1) module.slide(random.below(1000));
        else if (kind === 2) module.act();
        else hear(name, module);
      }
      let messages = 0;
      for (let moved = true; moved;) {
        moved = false;
        for (const [name, module] of modules) {
          const before = module.requests.length;
          module.act();
          if (hear(name, module) || before > 0) moved = true;
          messages += 1;
        }
        assert.ok(messages < 1000, `round ${round}: it never falls silent`);
      }
      const views = [agreement.value, ...[...modules.values()].map((module) => module.volume)];
      assert.deepEqual(new Set(views).size, 1, `round ${round}: ${views.join(' ')}`);
    }
  });
});
