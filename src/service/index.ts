/** Composition: from a configuration to a running node or coordinator. */

export type { RunningCoordinator } from '../coordinator/http/index.ts';
export type { RunningNode } from '../node/http/index.ts';
export { type StartCoordinatorOptions, startCoordinator } from './coordinator.ts';
export {
  dictionariesOf,
  openNodeStore,
  openNodeToken,
  readNodeTrust,
  type StartNodeOptions,
  startNode,
} from './node.ts';
