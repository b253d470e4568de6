#!/usr/bin/env node
// SPDX-License-Identifier: LGPL-2.1-or-later
import { messageOf } from '../util/errors.js';
import { busAddress } from './client/address.js';
import { AudioClient } from './client/audio-client.js';
import { Bus } from './client/bus.js';
import { version } from './client/package-files.js';
import { showReport } from './doctor.js';
import { parseCommandLine, type Invocation } from './command-line.js';
import { JsonView } from './monitor/json-view.js';
import { runMonitor, type MonitorView } from './monitor/monitor.js';
import { TerminalView } from './monitor/terminal-view.js';
import { checkPolicy } from './policy-check.js';
import { runCommand, type Printer } from './run.js';
import { toJson } from './show/json.js';
import { styleFor } from './show/style.js';
import { printable } from './show/text.js';
import { CommandError, Status } from './status.js';
import { isXlCommand, runXl } from './xl.js';

const { stdin, stdout, stderr } = process;
/** Ends the process, when everything is written. */
let leave = (status: number): void => process.exit(status);

const complain = (error: unknown): void => {
  for (const line of messageOf(error).split('\n')) stderr.write(`xen-audioctl: ${printable(line)}\n`);
};

const printerFor = (json: boolean): Printer => ({
  style: styleFor(stdout.isTTY, process.env),
  print: (lines, value) => {
    const text = json ? [toJson(value, 2)] : lines;
    stdout.write(text.map((line) => `${line}\n`).join(''));
  },
});

/** Resolves when a signal asks for the end. */
const stopSignal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => {
        resolve();
      });
    }
  });

const checkMonitorOutput = (json: boolean): void => {
  if (json || stdout.isTTY) return;
  throw new CommandError(
    Status.usage,
    "'monitor' draws in a terminal, and standard output is none: " +
      "say --json for a line of JSON per change, or 'xen-audioctl list' for a table",
  );
};

const monitorView = (json: boolean): MonitorView =>
  json
    ? new JsonView(stdout, stopSignal())
    : new TerminalView(
        stdout,
        stdin.isTTY ? stdin : undefined,
        styleFor(stdout.isTTY, process.env),
        stopSignal(),
      );

/** Resolves with the exit status. */
const run = async ({ command, json, bus, timeoutMs }: Invocation & { kind: 'command' }): Promise<number> => {
  const printer = printerFor(json);
  if (command.name === 'policy check') {
    await checkPolicy(command.file, printer);
    return Status.ok;
  }
  if (command.name === 'doctor') {
    // What it looks at needs libraries that the other commands do not.
    const { runDoctor } = await import('../doctor/doctor.js');
    ({ exitNow: leave } = await import('../adapters/system/exit.js')); // it may wait for xenstored in vain
    showReport(await runDoctor({ role: command.role }), printer);
    return Status.ok;
  }
  if (command.name === 'monitor') checkMonitorOutput(json);
  const connection = await Bus.connect(busAddress(bus, process.env), timeoutMs);
  try {
    const client = await AudioClient.open(connection);
    if (isXlCommand(command)) return await runXl(command, client, timeoutMs, complain);
    if (command.name === 'monitor') await runMonitor(client, monitorView(json));
    else await runCommand(command, client, printer);
    return Status.ok;
  } finally {
    connection.close();
  }
};

const main = async (): Promise<number> => {
  try {
    const invocation = parseCommandLine(process.argv.slice(2), process.env, version);
    if (invocation.kind === 'command') return await run(invocation);
    stdout.write(invocation.text);
    return Status.ok;
  } catch (error) {
    complain(error);
    const status = error instanceof CommandError ? error.status : Status.failure;
    if (status === Status.usage) stderr.write('Try "xen-audioctl --help".\n');
    return status;
  }
};

// Who reads no further has what it wanted, as in `xen-audioctl list | head`.
stdout.on('error', () => process.exit(Status.ok));
const status = await main();
// Not before everything is written, and whatever else still waits.
stdout.write('', () => {
  leave(status);
});
