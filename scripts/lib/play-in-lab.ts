// SPDX-License-Identifier: LGPL-2.1-or-later
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { OwnedProcess } from '../../test/lib/process.js';
import { paths } from '../../test/lib/paths.js';
import type { StreamFormat } from '../../test/lib/pulse.js';
import { stageForLab } from './lab-stage.js';
import type { RoundTrip } from './round-trip.js';

/** Building the lab's image, booting it, and the emulation of a busy machine. */
const LAB_TIMEOUT_MS = 900_000;
/** Where the PCM lies, below the folder that goes into dom0. */
const FOLDER = 'demo';

const Figures = z.object({
  latencyMs: z.number().nullable(),
  underruns: z.number().nullable(),
  captureLatencyMs: z.number().nullable(),
});

export interface PlayInLab {
  pcmFile: string;
  format: StreamFormat;
  workDir: string;
  signal: AbortSignal;
}

/** As roundTrip, in the dom0 of a real Xen that scripts/xen-lab boots for it. @throws Error of the lab */
export async function playInLab({ pcmFile, format, workDir, signal }: PlayInLab): Promise<RoundTrip> {
  const stage = join(workDir, 'stage');
  const results = join(workDir, 'results');
  const logFile = join(workDir, 'lab.log');
  await stageForLab(stage);
  mkdirSync(join(stage, FOLDER));
  cpSync(pcmFile, join(stage, FOLDER, 'sent.pcm'));
  const program = ['node', 'build/js/scripts/lib/play-through-main.js', JSON.stringify(format), FOLDER];
  const args = ['run', '--results', results, stage, ...program];
  const lab = OwnedProcess.start('scripts/xen-lab', join(paths.root, 'scripts/xen-lab'), args, { logFile });
  signal.addEventListener('abort', () => {
    lab.signal('SIGTERM');
  });
  try {
    await lab.succeeded(LAB_TIMEOUT_MS);
    const result = (name: string): Buffer => readFileSync(join(results, FOLDER, name));
    return {
      received: result('received.pcm'),
      heard: result('heard.pcm'),
      unheard: result('unheard.pcm'),
      ...Figures.parse(JSON.parse(result('figures.json').toString())),
    };
  } finally {
    await lab.stop({ timeoutMs: 30_000 });
    rmSync(stage, { recursive: true, force: true });
  }
}
