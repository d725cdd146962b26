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
  const before = { TMPDIR: process.env.TMPDIR, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE };
  process.env.TMPDIR = directory;
  // What Node compiles for one process, or makes of TypeScript, it need not for the next.
  process.env.NODE_COMPILE_CACHE ??= join(directory, 'compiled');
  project.provide('runDirectory', directory);
  project.provide('portsDirectory', process.env.HOLDFAST_TEST_PORTS ?? directory);
  return () => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
}
