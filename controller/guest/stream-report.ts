// SPDX-License-Identifier: LGPL-2.1-or-later
import { z } from 'zod';
import { NODE_BYTES_MAX } from '../../schemas/primitives.js';
import { VOLUME_MAX, VOLUME_NORM } from '../../schemas/guest-record.js';
import type { Stamped } from './agreement.js';

const counter = z
  .string()
  .regex(/^\d{1,20}$/, 'a number')
  .transform(BigInt);
const small = z
  .string()
  .regex(/^\d{1,9}$/, 'a number')
  .transform(Number);
const flag = z.enum(['0', '1'], { error: '0 or 1' }).transform((text) => text === '1');
const text = z.string().max(NODE_BYTES_MAX);

/** A serial, a space, a value: what answers a request, or is one. */
const stamped = <T>(value: z.ZodType<T, string>): z.ZodType<Stamped<T>, string> =>
  z
    .string()
    .regex(/^\d{1,10} \S*$/, 'a serial, a space and a value')
    .transform((line) => ({ serial: Number(line.split(' ')[0]), rest: line.slice(line.indexOf(' ') + 1) }))
    .pipe(
      z
        .object({ serial: z.number(), rest: value })
        .transform(({ serial, rest }) => ({ serial, value: rest })),
    );

const volume = z
  .string()
  .regex(/^\d{1,9}$/, `a volume from 0 to ${VOLUME_MAX}`)
  .transform(Number)
  .pipe(z.number().max(VOLUME_MAX));

/** The nodes that a module writes into its control directory (docs/architecture.md), and what each means. */
const NODES = {
  state: text,
  requested: flag,
  active: flag,
  volume: stamped(volume),
  mute: stamped(flag),
  device: stamped(text),
  format: text,
  rate: small,
  channels: small,
  'position-frames': counter,
  underruns: counter,
  overruns: counter,
  'late-bytes': counter,
  'latency-usec': counter,
  level: z
    .string()
    .regex(/^\d{1,6}$/, 'a level')
    .transform((digits) => Math.min(1, Number(digits) / VOLUME_NORM)),
} as const;

export type ReportNode = keyof typeof NODES;

/** What a stream's module says; what it has not said is as it is before a stream is opened. */
export type StreamReport = { readonly [N in ReportNode]: z.output<(typeof NODES)[N]> | undefined };

export const NOTHING_REPORTED: StreamReport = {
  state: undefined,
  requested: undefined,
  active: undefined,
  volume: undefined,
  mute: undefined,
  device: undefined,
  format: undefined,
  rate: undefined,
  channels: undefined,
  'position-frames': undefined,
  underruns: undefined,
  overruns: undefined,
  'late-bytes': undefined,
  'latency-usec': undefined,
  level: undefined,
};

export const REPORT_NODES = Object.keys(NODES) as readonly ReportNode[];

export const isReportNode = (name: string): name is ReportNode => Object.hasOwn(NODES, name);

/** The report with what a node says now (undefined: it is absent), or what is wrong with it. */
export const withNode = (
  report: StreamReport,
  node: ReportNode,
  value: string | undefined,
):
  | { readonly ok: true; readonly report: StreamReport }
  | { readonly ok: false; readonly expected: string } => {
  if (value === undefined) return { ok: true, report: { ...report, [node]: undefined } };
  const parsed = NODES[node].safeParse(value);
  return parsed.success
    ? { ok: true, report: { ...report, [node]: parsed.data } }
    : { ok: false, expected: parsed.error.issues[0]?.message ?? 'something else' };
};

/** What a request node holds, of an earlier controller; undefined when that cannot be told. */
export const parseRequest = {
  volume: (value: string | undefined): Stamped<number> | undefined => stamped(volume).safeParse(value).data,
  mute: (value: string | undefined): Stamped<boolean> | undefined => stamped(flag).safeParse(value).data,
  device: (value: string | undefined): Stamped<string> | undefined => stamped(text).safeParse(value).data,
};

export const formatRequest = {
  volume: ({ serial, value }: Stamped<number>): string => `${serial} ${value}`,
  mute: ({ serial, value }: Stamped<boolean>): string => `${serial} ${value ? '1' : '0'}`,
  device: ({ serial, value }: Stamped<string>): string => `${serial} ${value}`,
};
