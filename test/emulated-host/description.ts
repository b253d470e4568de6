// SPDX-License-Identifier: LGPL-2.1-or-later
import { join } from 'node:path';

import { z } from 'zod';

import { MIC_FEED, MICROPHONE, SPEAKERS, type Host } from '../host/host.js';

const Pid = z.number().int().positive().nullable();

/** What `scripts/emulated-host up` prints, and keeps in `host.json`. Others build on the names: add, never change. */
export const HostDescription = z.object({
  dir: z.string(),
  /** Address of the private D-Bus. */
  dbus: z.string(),
  dom0: z.object({
    /** For PULSE_SERVER. */
    pulse: z.string(),
    /** For XENSTORED_PATH. */
    xenstore: z.string(),
    /** For LD_LIBRARY_PATH, of programs that use grants or event channels. */
    lib: z.string(),
    sink: z.string(),
    /** The sink that feeds dom0's microphone. */
    mic_feed: z.string(),
    /** Its microphone: the source that guests capture from. */
    mic: z.string(),
    logs: z.object({ pulse: z.string(), controller: z.string() }),
    pids: z.object({ pulse: Pid, controller: Pid }),
  }),
  guests: z.array(
    z.object({
      domid: z.number().int(),
      uuid: z.string(),
      name: z.string(),
      pulse: z.string(),
      xenstore: z.string(),
      lib: z.string(),
      sink: z.string().nullable(),
      source: z.string().nullable(),
      logs: z.object({ pulse: z.string() }),
      pids: z.object({ pulse: Pid }),
    }),
  ),
  /** Who owns all of it; the process to end. Absent in a host that a test runs in its own process. */
  supervisor: z.object({ pid: z.number().int().positive(), startTicks: z.number() }).optional(),
});
export type HostDescription = z.infer<typeof HostDescription>;

/** A running emulated host, as others see it. */
export function describeHost(host: Host): HostDescription {
  const entryOf = (env: NodeJS.ProcessEnv): { xenstore: string; lib: string } => ({
    xenstore: env['XENSTORED_PATH'] ?? '',
    lib: env['LD_LIBRARY_PATH'] ?? '',
  });
  return {
    dir: host.dir,
    dbus: host.bus.address,
    dom0: {
      pulse: host.pulse.server,
      ...entryOf(host.xen.dom0Env),
      sink: SPEAKERS,
      mic_feed: MIC_FEED,
      mic: MICROPHONE,
      logs: { pulse: host.pulse.logFile, controller: host.controller.logFile },
      pids: { pulse: host.pulse.pid ?? null, controller: host.controller.pid ?? null },
    },
    guests: host.guests.map((guest) => ({
      domid: guest.domain.domid,
      uuid: guest.domain.uuid,
      name: guest.domain.name,
      pulse: guest.pulse.server,
      ...entryOf(guest.domain.env),
      sink: guest.sink,
      source: guest.source,
      logs: { pulse: guest.pulse.logFile },
      pids: { pulse: guest.pulse.pid ?? null },
    })),
  };
}

/** Where a host's description is kept, for whoever comes later. */
export function descriptionFile(dir: string): string {
  return join(dir, 'host.json');
}
