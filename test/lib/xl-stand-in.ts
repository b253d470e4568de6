// SPDX-License-Identifier: LGPL-2.1-or-later
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { waitFor } from './wait.js';

/** Waits until it may end, 20 s at most; then ends as it was told. */
const SCRIPT = `#!/bin/sh
dir=$(dirname "$0")
echo "xl: $*"
echo "$*" > "$dir/arguments.new" && mv "$dir/arguments.new" "$dir/arguments"
for _ in $(seq 400); do
    [ -e "$dir/status" ] && exit "$(cat "$dir/status")"
    sleep 0.05
done
exit 99
`;

/** A program called xl, for the front of PATH: it says that it was called, and does nothing by itself. */
export class XlStandIn {
  /** @param dir of its own, made when it is missing */
  constructor(private readonly dir: string) {
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'xl'), SCRIPT, { mode: 0o755 });
  }

  /** For PATH. */
  get path(): string {
    return `${this.dir}:${process.env['PATH'] ?? ''}`;
  }

  /** Resolves with its arguments when it has been called. */
  async called(): Promise<string> {
    const file = join(this.dir, 'arguments');
    await waitFor('xl to be called', () => existsSync(file));
    return readFileSync(file, 'utf8').trim();
  }

  /** Lets it end with an exit status, now or when it is called. */
  end(status: number): void {
    writeFileSync(join(this.dir, 'status'), String(status));
  }
}
