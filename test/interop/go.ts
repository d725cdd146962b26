/** Go programs of the folders beside this file, built once per test file: `go run` would build for each call. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Of the build, which may have to fetch modules and compile all of them. */
const BUILD_MILLISECONDS = 280_000;
/** Only what hangs comes to this end. */
const RUN_MILLISECONDS = 240_000;
const MAXIMUM_OUTPUT = 100 * 2 ** 20;

/** Builds a program with the `go` of this machine, or says why that cannot be; broken code throws. */
export function buildGo(module: string, target = '.'): { readonly program: string } | { readonly missing: string } {
  const folder = join(import.meta.dirname, module);
  const go = (...words: readonly string[]) =>
    execFileSync('go', words, { cwd: folder, stdio: 'pipe', encoding: 'utf8', timeout: BUILD_MILLISECONDS });
  for (const [words, reason] of [
    [['version'], 'there is no go command'],
    [['list', '-m'], `this go is too old for test/interop/${module}/go.mod`],
    [['mod', 'download'], `go could not fetch the modules of test/interop/${module}/go.mod`],
  ] as const) {
    try {
      go(...words);
    } catch (error) {
      const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1);
      return { missing: `${reason}${said ? ` (${said})` : ''}` };
    }
  }
  const program = join(mkdtempSync(join(tmpdir(), 'go-')), 'program');
  go('build', '-o', program, target);
  return { program };
}

export interface Formats {
  /** Why the program is not there, or undefined. */
  readonly missing: string | undefined;
  /** What a command prints. @throws Error with its standard error if it fails. */
  run<T>(command: string, ...words: readonly (string | number)[]): T;
  /** The same for commands that this very process has to answer. */
  start<T>(command: string, ...words: readonly (string | number)[]): Promise<T>;
}

/** The program of the folder `formats`. */
export function buildFormats(): Formats {
  const built = buildGo('formats');
  const program = 'program' in built ? built.program : '';
  const options = { encoding: 'utf8', timeout: RUN_MILLISECONDS, maxBuffer: MAXIMUM_OUTPUT } as const;
  return {
    missing: 'missing' in built ? built.missing : undefined,
    run: (command, ...words) =>
      JSON.parse(execFileSync(program, [command, ...words.map(String)], { ...options, stdio: 'pipe' })),
    start: async (command, ...words) => {
      const { stdout } = await promisify(execFile)(program, [command, ...words.map(String)], options);
      return JSON.parse(stdout);
    },
  };
}
