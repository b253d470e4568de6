// SPDX-License-Identifier: LGPL-2.1-or-later
import { writeFileSync } from 'node:fs';

import Mocha from 'mocha';

/**
 * The spec reporter, which also writes its counts for scripts/test: `{"passed": N, "failed": N}` into the file of the
 * reporter option `output`. A failed hook counts as a failed test.
 */
export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const { output } = (options.reporterOptions ?? {}) as { output?: string };
    if (output === undefined) {
      throw new Error('name the file for the counts: --reporter-option output=FILE');
    }
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      // A pending test proves nothing: .mocharc.json forbids them, and should one come through, it has failed.
      const { passes, failures, pending } = this.stats;
      writeFileSync(output, JSON.stringify({ passed: passes, failed: failures + pending }));
    });
  }
}
