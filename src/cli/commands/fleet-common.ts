/** What the commands of a fleet on one machine have in common. */

import { type FleetFolder, type HoldfastCommand, readPlan } from '../../fleet/index.ts';

/** `holdfast` itself, for child processes: the same runtime and the same entry. */
export function ownCommand(): HoldfastCommand {
  // The engine's own threads cost a process that shares its cores with others more than they spare its main thread; a
  // nursery of 4 MiB spares 25 MiB of memory and costs a tenth more time. Not --single-threaded, with which the runtime
  // compiles its own modules at each start, instead of taking what was compiled with it (docs/performance.md).
  const engine = ['--single-threaded-gc', '--no-concurrent-recompilation'];
  // From the beginning: a start then needs no collection at all.
  const nursery = ['--min-semi-space-size=16', '--max-semi-space-size=16'];
  return { executable: process.execPath, prefix: [...engine, ...nursery, process.argv[1]!], environment: process.env };
}

/** What its clients are given. */
export const clientFileOf = (folder: FleetFolder): string =>
  readPlan(folder).log.kind === 'none' ? folder.trust : folder.client;
