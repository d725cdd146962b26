/** Runs one exhaustive search of a Promela model of this folder with Spin 6 and a C compiler. */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Model = 'attempts' | 'epochs';

/** Bytes of memory, in MiB, that one search may take before it gives up and says so. */
const memoryLimit = 3000;
/** Steps of the longest run that a search can follow before it says that it was cut short. */
const depthLimit = 10_000;

/**
 * An index beyond its array ends the search with a signal, and so in an error. Spin's own check, a call for each index, takes
 * the compiler twice and the search one and a half times as long.
 */
const boundsByCompiler = ['-DNOBOUNDCHECK', '-fsanitize=bounds-strict', '-fsanitize-undefined-trap-on-error'];

export type SearchResult = {
  /** The number of runs that violate an assertion; a search stops at the first. */
  readonly errors: number;
  /** The number of distinct states stored. */
  readonly states: number;
  /** True if nothing was left out: no depth limit, memory limit or approximate storage was met. */
  readonly complete: boolean;
  /** The assertion that was violated, as the checker prints it, or an empty string. */
  readonly violated: string;
  /** All that the checker printed. */
  readonly output: string;
};

/**
 * Searches every reachable state of the model under the given macros.
 *
 * @param model - its file here, without `.pml`
 * @param macros - the `-D` definitions of the configuration, without the `-D`
 * @param effort - a large search, of a million states and more, is worth the second that optimising takes, a small one is not
 * @throws Error when a tool is missing, or the model does not compile
 */
export async function search(
  model: Model,
  macros: readonly string[],
  effort: 'small' | 'large',
): Promise<SearchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'model-'));
  try {
    const file = `${model}.pml`;
    await copyFile(join(import.meta.dirname, file), join(folder, file));
    await tool('spin', ['-a', ...macros.map((macro) => `-D${macro}`), file], folder);
    // One process has nothing to interleave with, so partial order reduction would only cost time.
    const options = ['-DSAFETY', '-DNOREDUCE', `-DMEMLIM=${memoryLimit}`, ...boundsByCompiler];
    await tool('gcc', [effort === 'large' ? '-Og' : '-O0', '-w', ...options, '-o', 'pan', 'pan.c'], folder);
    // The table begins with 2^20 places, or 2^24, and grows where it must.
    const places = effort === 'large' ? '-w24' : '-w20';
    const output = await tool('nice', ['./pan', `-m${depthLimit}`, places], folder);
    return {
      errors: figure(output, /errors: (\d+)/),
      states: figure(output, /(\d+) states, stored/),
      complete:
        output.includes('Full statespace search') &&
        !/not completed|max search depth too small|out of memory|reached -DMEMLIM/i.test(output),
      violated: /assertion violated (.*) \(at depth/.exec(output)?.[1] ?? '',
      output,
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function tool(name: string, args: readonly string[], folder: string): Promise<string> {
  try {
    return (await run(name, args, { cwd: folder, maxBuffer: 1 << 24 })).stdout;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new Error(`the model needs the program "${name}": install it (Debian: apt-get install spin gcc libc6-dev)`);
    }
    throw error;
  }
}

function figure(output: string, pattern: RegExp): number {
  const text = pattern.exec(output)?.[1];
  if (text === undefined) {
    throw new Error(`the checker did not report ${pattern}:\n${output}`);
  }
  return Number(text);
}
