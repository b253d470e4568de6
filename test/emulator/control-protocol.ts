// SPDX-License-Identifier: LGPL-2.1-or-later
/** What goes over control.sock: one JSON object a line, a request and its answer. */
import { z } from 'zod';
import { FAULTS } from './faults.js';

/** The special domids of Xen start above. */
const DomId = z.int().min(0).max(0x7fef);
/** Becomes the name of a directory. */
const DomainKey = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected 1 to 32 letters, digits, _ or -');
const id = z.int();

/** The key of the dom0 that is there from the start, and the name of its host. */
export const DOM0 = 'dom0';
/** The key of a host's dom0. */
const host = DomainKey.default(DOM0);

export const ControlRequest = z.discriminatedUnion('op', [
  z.strictObject({
    id,
    op: z.literal('create'),
    host,
    key: DomainKey,
    domid: DomId.min(1),
    name: z.string().min(1),
    uuid: z.guid(),
  }),
  z.strictObject({ id, op: z.literal('create-host'), key: DomainKey }),
  z.strictObject({ id, op: z.literal('destroy'), key: DomainKey }),
  z.strictObject({
    id,
    op: z.literal('change-domid'),
    key: DomainKey,
    domid: DomId.min(1),
    host: DomainKey.optional(),
  }),
  z.strictObject({ id, op: z.literal('counts'), host }),
  z.strictObject({ id, op: z.literal('ports'), key: DomainKey }),
  z.strictObject({ id, op: z.literal('grants'), key: DomainKey }),
  z.strictObject({
    id,
    op: z.literal('fail'),
    key: DomainKey,
    fault: z.enum(FAULTS),
    after: z.int().min(0),
    times: z.int().min(0),
  }),
  z.strictObject({ id, op: z.literal('faults-left'), key: DomainKey }),
  z.strictObject({ id, op: z.literal('lose-events'), key: DomainKey, way: z.enum(['to', 'from']) }),
]);
export type ControlRequest = z.input<typeof ControlRequest>;

export const Counts = z.object({
  domains: z.record(
    z.string(),
    z.object({
      ports: z.int(),
      grants: z.int(),
      mapped: z.int(),
      watches: z.int(),
      transactions: z.int(),
      connections: z.int(),
      staleCloses: z.int(),
    }),
  ),
  nodes: z.int(),
});
/** What each domain of a host holds, by its key, and how many nodes xenstore has. */
export type Counts = z.infer<typeof Counts>;

export const ControlResponse = z.discriminatedUnion('ok', [
  z.object({ id: z.int().nullable(), ok: z.literal(true), result: z.unknown() }),
  z.object({ id: z.int().nullable(), ok: z.literal(false), error: z.string() }),
]);
export type ControlResponse = z.infer<typeof ControlResponse>;
