/** What the commands of a fleet on one machine have in common. */

import { type FleetFolder, type HoldfastCommand, type ProcessPurpose, readPlan } from '../../fleet/index.ts';

/**
 * The nursery of the engine's collector in MiB, at first and at most. A process has two of each, and until it collects, what
 * its garbage holds of other memory. A coordinator of 4 MiB instead of 16 takes a quarter more time, and a node of 8 no more
 * than one of 16 (docs/performance.md). What has little to do needs little, and a command ends before it collects.
 */
const NURSERY: Readonly<Record<ProcessPurpose, readonly [first: number, most: number]>> = {
  node: [8, 8],
  coordinator: [16, 16],
  cosigner: [1, 8],
  witness: [1, 4],
  supervisor: [1, 4],
  command: [16, 16],
};

/** MiB: the old generation may grow to it, and the smaller it is, the sooner what lived for half a minute is collected. */
const NODE_HEAP = 512;

/** `holdfast` itself, for child processes: the same runtime and the same entry. */
export function ownCommand(): HoldfastCommand {
  // The engine's own threads cost a process that shares its cores with others more than they spare its main thread. Not
  // --single-threaded, with which the runtime compiles its own modules at each start, instead of taking what was compiled
  // with it (docs/performance.md).
  const engine = ['--single-threaded-gc', '--no-concurrent-recompilation'];
  const memory = (purpose: ProcessPurpose) => {
    const [first, most] = NURSERY[purpose];
    const heap = purpose === 'node' ? [`--max-old-space-size=${NODE_HEAP}`] : [];
    return [`--min-semi-space-size=${first}`, `--max-semi-space-size=${most}`, ...heap];
  };
  return {
    executable: process.execPath,
    prefix: (purpose) => [...engine, ...memory(purpose), process.argv[1]!],
    // By default the C library keeps memory of its own for each of the runtime's threads: 35 MiB after some thousand commits.
    environment: { MALLOC_ARENA_MAX: '2', ...process.env },
  };
}

/** What its clients are given. */
export const clientFileOf = (folder: FleetFolder): string =>
  readPlan(folder).log.kind === 'none' ? folder.trust : folder.client;
