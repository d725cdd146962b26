/** One temporary directory for a whole run of the tests, removed at its end even where a test process was killed. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The directory of the whole run. */
    runDirectory: string;
    /** Where those who take ports say so: shared with runs beside this one (scripts/run-stages.ts). */
    portsDirectory: string;
  }
}

export default function setup(project: TestProject): () => void {
  // Short, because paths of Unix sockets beneath it are limited to 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'hf-'));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = directory;
  project.provide('runDirectory', directory);
  project.provide('portsDirectory', process.env.HOLDFAST_TEST_PORTS ?? directory);
  return () => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
}
