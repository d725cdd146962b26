/**
 * What the runtime's engine is told for each kind of process, whoever starts it: a fleet on one machine, a container, systemd.
 * Imports nothing of ours that runs: the entry loads it before everything else.
 */

import type { ProcessPurpose } from '../fleet/index.ts';

/** A monitor is in no plan of a fleet on one machine: it is started by itself only. */
type EnginePurpose = ProcessPurpose | 'monitor';

/**
 * The nursery of the engine's collector in MiB, at first and at most. A process has two of each, and until it collects, what
 * its garbage holds of other memory. A coordinator of 4 MiB instead of 16 takes a quarter more time, and a node of 8 no more
 * than one of 16 (docs/performance.md). What has little to do needs little, and a command ends before it collects.
 */
const NURSERY: Readonly<Record<EnginePurpose, readonly [first: number, most: number]>> = {
  node: [8, 8],
  coordinator: [16, 16],
  cosigner: [1, 8],
  witness: [1, 4],
  monitor: [1, 4],
  supervisor: [1, 4],
  command: [16, 16],
};

/** MiB: the old generation may grow to it, and the smaller it is, the sooner what lived for half a minute is collected. */
const NODE_HEAP = 512;

/** Options of the runtime for a process. `available` are the bytes that it may have at most, 0 where that is not known. */
export function engineOptions(purpose: EnginePurpose, available: number = process.constrainedMemory()): string[] {
  const [first, most] = NURSERY[purpose];
  // In a small container the engine's own, smaller limit stays.
  const hasRoom = available === 0 || available >= 2 * NODE_HEAP * 2 ** 20;
  return [
    // The engine's own threads cost a process that shares its cores with others more than they spare its main thread. Not
    // --single-threaded, with which the runtime compiles its own modules at each start, instead of taking what was compiled
    // with it (docs/performance.md).
    ...['--single-threaded-gc', '--no-concurrent-recompilation'],
    ...[`--min-semi-space-size=${first}`, `--max-semi-space-size=${most}`],
    ...(purpose === 'node' && hasRoom ? [`--max-old-space-size=${NODE_HEAP}`] : []),
  ];
}

/**
 * The environment of a process of ours. By default the C library keeps memory of its own for each of the runtime's threads: 35 MiB
 * after some thousand commits.
 */
export const engineEnvironment = (environment: Readonly<NodeJS.ProcessEnv>): NodeJS.ProcessEnv => ({
  MALLOC_ARENA_MAX: '2',
  ...environment,
});

/** The service that these words of a command line run until it is ended; undefined for everything else. */
export function serviceOf([first, second, ...more]: readonly string[]): EnginePurpose | undefined {
  if ((first === 'node' || first === 'coordinator') && second === 'run') return first;
  if ((first === 'cosigner' || first === 'witness') && second === 'serve') return first;
  return first === 'monitor' && [second, ...more].includes('--watch') ? first : undefined;
}

/**
 * Begins a service anew with its engine's options, as the same process, where it was started with none: they are read only when
 * the engine starts. Whoever starts it with options of the runtime, or names the engine's memory in NODE_OPTIONS, knows better.
 */
export function beginWithOwnEngine(): void {
  const { execArgv, argv, env, execPath } = process;
  const service = serviceOf(argv.slice(2));
  // Not everywhere; and what a parent talks to by a channel would lose that.
  if (service === undefined || execArgv.length > 0 || !process.execve || process.connected) return;
  if (/-(?:semi|old)-space-size/.test((env.NODE_OPTIONS ?? '').replaceAll('_', '-'))) return;
  const words = [execPath, ...engineOptions(service), ...argv.slice(1)];
  process.execve(execPath, words, engineEnvironment(env) as Record<string, string>);
}
