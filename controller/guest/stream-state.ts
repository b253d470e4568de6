// SPDX-License-Identifier: LGPL-2.1-or-later
import type { StreamDirection } from '../api/audio-api.js';
import type { StreamState } from '../api/state.js';
import { quoted } from '../util/text.js';
import type { StreamId } from '../xenbus/paths.js';
import type { StreamReport } from './stream-report.js';

/** What a stream's module reports, for the outside. */
export const streamState = (id: StreamId, direction: StreamDirection, report: StreamReport): StreamState => ({
  id: `s${id.devid}_${id.pcm}_${id.stream}`,
  device: `vsnd-${id.devid}/${id.pcm}/${id.stream}`,
  direction,
  state: printable(report.state ?? 'connected'),
  format: printable(report.format ?? ''),
  rate: report.rate ?? 0,
  channels: report.channels ?? 0,
  positionFrames: report['position-frames'] ?? 0n,
  underruns: report.underruns ?? 0n,
  overruns: report.overruns ?? 0n,
  lateBytes: report['late-bytes'] ?? 0n,
  latencyUsec: report['latency-usec'] ?? 0n,
  level: report.level ?? 0,
});

/** Reasons repeat what a guest has written. */
const printable = (text: string): string => quoted(text, 256).slice(1, -1);
