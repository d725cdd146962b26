/** What the commands of a fleet on one machine have in common. */

import { type FleetFolder, type HoldfastCommand, readPlan } from '../../fleet/index.ts';
import { engineEnvironment, engineOptions } from '../engine.ts';

/** `holdfast` itself, for child processes: the same runtime and the same entry. */
export function ownCommand(): HoldfastCommand {
  return {
    executable: process.execPath,
    prefix: (purpose) => [...engineOptions(purpose), process.argv[1]!],
    environment: engineEnvironment(process.env),
  };
}

/** What its clients are given. */
export const clientFileOf = (folder: FleetFolder): string =>
  readPlan(folder).log.kind === 'none' ? folder.trust : folder.client;
