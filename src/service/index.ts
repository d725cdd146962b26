/** Composition: from a configuration to a running service. */

export type { RunningCoordinator } from '../coordinator/http/index.ts';
export { type Alert, type LookedAndTold, lookAndTell, type RunningMonitor } from '../cosigner/monitor/index.ts';
export type { RunningCosigner } from '../cosigner/service/index.ts';
export type { RunningWitness } from '../cosigner/witness/index.ts';
export type { RunningNode } from '../node/http/index.ts';
export { type StartCoordinatorOptions, startCoordinator } from './coordinator.ts';
export { initialiseConfiguredCosigner, type StartCosignerOptions, startCosigner } from './cosigner.ts';
export { type OpenMonitor, openMonitor, startMonitor } from './monitor.ts';
export { nextTrustFile, requireNextTrust } from './next-epoch.ts';
export { type StartNodeOptions, startNode } from './node.ts';
export { answerNodeChallenge, readKeysOf, readNodeKeys } from './node-keys.ts';
export { dictionariesOf, openNodeStore, openNodeToken, readNodeTrust } from './node-parts.ts';
export { openConfiguredToken } from './signing-token.ts';
export { type StartWitnessOptions, startWitness } from './witness.ts';
export { initialiseWitness } from './witness-state.ts';
