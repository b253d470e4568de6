// SPDX-License-Identifier: LGPL-2.1-or-later
import type { DoctorReport } from '../doctor/doctor.js';
import type { Printer } from './run.js';
import { printable, table } from './show/text.js';
import { CommandError, Status } from './status.js';

/** Shows what the doctor found. @throws CommandError `failure` when there is an error among it */
export const showReport = (report: DoctorReport, printer: Printer): void => {
  const { checks } = report;
  const rows = checks.map(({ status, title, finding }) => [status, title, printable(finding)]);
  const [titles = '', ...lines] = table(
    [{ title: 'STATUS' }, { title: 'CHECK' }, { title: 'FINDING' }],
    rows,
  );
  const remedies = checks
    .filter(({ remedy }) => remedy !== '')
    .map(({ title, remedy }) => `  ${title}: ${remedy}`);
  const advice = remedies.length === 0 ? [] : ['', printer.style.title('What to do'), ...remedies];
  printer.print([printer.style.title(titles), ...lines, ...advice], report);
  const errors = checks.filter(({ status }) => status === 'error').length;
  if (errors > 0) {
    throw new CommandError(Status.failure, `${errors} of ${checks.length} checks found an error`);
  }
};
