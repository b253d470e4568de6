// SPDX-License-Identifier: LGPL-2.1-or-later
import { constants } from 'node:os';
import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
/** The options of a command line, by their names. */
export type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

export interface Benchmark<T extends Options, Arguments, Report> {
  /** After the name of the program: what may be said, and what each option is. */
  usage: string;
  /** Apart from --json and --help, which all have. */
  options: T;
  /** @throws Error that says which value is wrong */
  read(values: Values<T>): Arguments;
  measure(args: Arguments): Promise<Report>;
  /** For people; --json prints the report as it is. */
  textOf(report: Report, args: Arguments): string;
}

/** Runs a benchmark as a command. An error is one line, and exit code 1; a signal ends it in order, its processes with it. */
export async function benchmark<T extends Options, Arguments, Report>(
  bench: Benchmark<T, Arguments, Report>,
): Promise<void> {
  try {
    const common = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
    const { values: asked } = parseArgs({ options: { ...bench.options, ...common }, strict: true });
    const { json, help, ...values } = asked as Values<T> & { json?: boolean; help?: boolean };
    if (help === true) {
      process.stdout.write(`usage: ${process.argv[1] ?? ''} ${bench.usage}\n`);
      return;
    }
    const args = bench.read(values as Values<T>);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => process.exit(128 + constants.signals[signal]));
    }
    const report = await bench.measure(args);
    process.stdout.write(json === true ? `${JSON.stringify(report, null, 2)}\n` : bench.textOf(report, args));
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

/** An option's value as a number. @throws Error that says what was expected */
export function numberFrom(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!(value >= min && value <= max)) {
    throw new Error(`--${name} ${text}: expected a number from ${min} to ${max}`);
  }
  return value;
}
