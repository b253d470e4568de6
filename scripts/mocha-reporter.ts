// SPDX-License-Identifier: LGPL-2.1-or-later
import { writeFileSync } from 'node:fs';

import Mocha from 'mocha';

/**
 * The spec reporter, which also writes its counts for scripts/test: `{"passed": N, "failed": N}` into the file of the
 * reporter option `output`, and says at once why a test failed. A failed hook counts as a failed test.
 */
export default class CountingReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const { output } = (options.reporterOptions ?? {}) as { output?: string };
    if (output === undefined) {
      throw new Error('name the file for the counts: --reporter-option output=FILE');
    }
    // At the end they are shown whole, but a run that is cut short has no end.
    runner.on(Mocha.Runner.constants.EVENT_TEST_FAIL, (_test: Mocha.Test, error: Error) => {
      Mocha.reporters.Base.consoleLog(`      ${error.message.trimEnd()}`);
    });
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      // A pending test proves nothing: .mocharc.json forbids them, and should one come through, it has failed.
      const { passes, failures, pending } = this.stats;
      writeFileSync(output, JSON.stringify({ passed: passes, failed: failures + pending }));
    });
  }
}
