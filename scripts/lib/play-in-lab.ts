// SPDX-License-Identifier: LGPL-2.1-or-later
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { z } from 'zod';

import { OwnedProcess } from '../../test/lib/process.js';
import { paths } from '../../test/lib/paths.js';
import type { StreamFormat } from '../../test/lib/pulse.js';
import { stageForLab } from './lab-stage.js';
import type { Played } from './play-through.js';

/** Building the lab's image, booting it, and the emulation of a busy machine. */
const LAB_TIMEOUT_MS = 900_000;
/** Where the PCM lies, below the folder that goes into dom0. */
const FOLDER = 'demo';

const Figures = z.object({ latencyMs: z.number().nullable(), underruns: z.number().nullable() });

export interface PlayInLab {
  pcmFile: string;
  format: StreamFormat;
  workDir: string;
  signal: AbortSignal;
}

/** As playThrough, in the dom0 of a real Xen that scripts/xen-lab boots for it. @throws Error of the lab */
export async function playInLab({ pcmFile, format, workDir, signal }: PlayInLab): Promise<Played> {
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
    const received = readFileSync(join(results, FOLDER, 'received.pcm'));
    return {
      received,
      ...Figures.parse(JSON.parse(readFileSync(join(results, FOLDER, 'figures.json'), 'utf8'))),
    };
  } finally {
    await lab.stop({ timeoutMs: 30_000 });
    rmSync(stage, { recursive: true, force: true });
  }
}
