/** A temporary directory of its own for each test file: `os.tmpdir()` and child processes use it. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

process.env.TMPDIR = mkdtempSync(join(tmpdir(), 'f-'));
