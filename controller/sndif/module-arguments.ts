// SPDX-License-Identifier: LGPL-2.1-or-later
import type { CardConfig, StreamConfig, StreamTransport } from '../../schemas/sndif.js';
import { tryParseDeviceId, type DeviceId, type StreamId } from '../xenbus/paths.js';
import type { Capabilities } from './capabilities.js';
import { tryParseModargs, type ModuleArguments } from './modargs.js';

/** All that one backend module is told. */
export interface BackendModuleSetup {
  readonly id: StreamId;
  readonly direction: StreamConfig['direction'];
  readonly transport: StreamTransport;
  readonly card: CardConfig;
  readonly capabilities: Capabilities;
  readonly guestName: string;
  readonly guestUuid: string;
  readonly controlPath: string;
}

const flag = (value: boolean): string => (value ? '1' : '0');

/** The arguments of `module-xen-backend` for one stream. */
export const backendModuleArguments = (setup: BackendModuleSetup): ModuleArguments => ({
  ...identityArguments(setup),
  guest: setup.guestName,
  formats: setup.capabilities.formats.join(','),
  rates: setup.capabilities.rates.join(','),
  channels_min: String(setup.capabilities.channelsMin),
  channels_max: String(setup.capabilities.channelsMax),
  buffer_max: String(setup.capabilities.bufferBytesMax),
  rate_min: String(setup.capabilities.rateMin),
  rate_max: String(setup.capabilities.rateMax),
  linux_quirks: flag(setup.card.linuxQuirks),
  latency: flag(setup.card.latency),
  wakeup: flag(setup.card.wakeup),
  rewind: flag(setup.card.rewind),
  alive: flag(setup.card.alive),
  control: setup.controlPath,
});

/** The part that says which rings a module holds: with the same values it serves the same connection. */
const identityArguments = ({ id, direction, transport, guestUuid }: BackendModuleSetup): ModuleArguments => ({
  domid: String(id.domid),
  devid: String(id.devid),
  pcm: String(id.pcm),
  stream: String(id.stream),
  type: direction === 'playback' ? 'p' : 'c',
  ring_ref: String(transport.ringRef),
  event_channel: String(transport.eventChannel),
  evt_ring_ref: String(transport.evtRingRef),
  evt_event_channel: String(transport.evtEventChannel),
  uuid: guestUuid,
});

/** Whether a loaded module's argument text serves the connection that `setup` describes. */
export const servesSameRings = (argument: string, setup: BackendModuleSetup): boolean => {
  const values = tryParseModargs(argument);
  return (
    values !== undefined &&
    Object.entries(identityArguments(setup)).every(([name, value]) => values[name] === value)
  );
};

/** The device a loaded module belongs to; undefined for a module that is not ours. */
export const deviceOfModule = (argument: string): DeviceId | undefined => {
  const values = tryParseModargs(argument);
  return tryParseDeviceId(values?.['domid'] ?? '', values?.['devid'] ?? '');
};
