/** A temporary directory of its own for each test file: `os.tmpdir()` and child processes use it. */

import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';

// Not beneath `os.tmpdir()`: where files share a process, that is the directory of the file before.
process.env.TMPDIR = mkdtempSync(join(inject('runDirectory'), 'f-'));
