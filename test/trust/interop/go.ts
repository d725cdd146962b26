/** The Go program beside this file, built once per test file: `go run` would build for each call. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FOLDER = import.meta.dirname;
/** Of the build, which may have to fetch modules and compile all of them. */
const BUILD_MILLISECONDS = 280_000;
const RUN_MILLISECONDS = 60_000;

export interface Interop {
  /** Why the program is not there, or undefined. */
  readonly missing: string | undefined;
  /** What a command prints. @throws Error with its standard error if it fails. */
  run<T>(command: string, ...words: readonly (string | number)[]): T;
}

/** Builds the program with the `go` of this machine. Where that cannot be, `missing` says why; broken code throws. */
export function buildInterop(): Interop {
  const program = join(mkdtempSync(join(tmpdir(), 'interop-')), 'interop');
  const missing = obstacle();
  if (missing === undefined) go('build', '-o', program, '.');
  return {
    missing,
    run: (command, ...words) => {
      const output = execFileSync(program, [command, ...words.map(String)], {
        encoding: 'utf8',
        stdio: 'pipe',
        timeout: RUN_MILLISECONDS,
        maxBuffer: 100 * 2 ** 20,
      });
      return JSON.parse(output);
    },
  };
}

function go(...words: readonly string[]): void {
  execFileSync('go', words, { cwd: FOLDER, stdio: 'pipe', timeout: BUILD_MILLISECONDS });
}

function obstacle(): string | undefined {
  for (const [words, reason] of [
    [['version'], 'there is no go command'],
    [['mod', 'download'], 'go could not fetch the modules of test/trust/interop/go.mod'],
  ] as const) {
    try {
      go(...words);
    } catch {
      return reason;
    }
  }
  return undefined;
}
