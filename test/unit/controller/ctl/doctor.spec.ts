// SPDX-License-Identifier: LGPL-2.1-or-later
import assert from 'node:assert/strict';
import { showReport } from '../../../../controller/ctl/doctor.js';
import { PLAIN } from '../../../../controller/ctl/show/style.js';
import { CommandError, Status } from '../../../../controller/ctl/status.js';
import type { DoctorReport } from '../../../../controller/doctor/doctor.js';

const well = {
  id: 'xen',
  title: 'Xen',
  status: 'ok',
  finding: 'this system runs on Xen',
  remedy: '',
} as const;
const ill = {
  id: 'daemon',
  title: 'xen-audiod',
  status: 'error',
  finding: 'a\u001bb',
  remedy: 'start it',
} as const;

/** What it prints, for people and as JSON, and what it throws. */
const show = (report: DoctorReport): { lines: readonly string[]; value: unknown; error: unknown } => {
  const shown: { lines: readonly string[]; value: unknown; error: unknown } = {
    lines: [],
    value: undefined,
    error: undefined,
  };
  try {
    showReport(report, {
      style: PLAIN,
      print: (lines, value) => {
        shown.lines = lines;
        shown.value = value;
      },
    });
  } catch (error) {
    shown.error = error;
  }
  return shown;
};

describe("the doctor's report", () => {
  it('is a table when all is well', () => {
    const { lines, error } = show({ status: 'ok', checks: [well] });

    assert.deepEqual(lines, ['STATUS  CHECK  FINDING', 'ok      Xen    this system runs on Xen']);
    assert.equal(error, undefined);
  });

  it('says what to do, and fails, where there is an error', () => {
    const report: DoctorReport = { status: 'error', checks: [well, ill] };

    const { lines, value, error } = show(report);

    assert.deepEqual(lines.slice(-4), [
      'error   xen-audiod  a\ufffdb',
      '',
      'What to do',
      '  xen-audiod: start it',
    ]);
    assert.equal(value, report);
    assert.ok(error instanceof CommandError);
    assert.equal(error.status, Status.failure);
    assert.equal(error.message, '1 of 2 checks found an error');
  });
});
