/** The operator's and the policy keyholders' side of trust distribution: making, checking, signing and submitting. Prints nothing. */

export { checkUrl, Fetcher } from '../cosigner/replay/index.ts';
export {
  type CheckpointKind,
  type LogSource,
  type LogView,
  readLog,
  requireWitnessed,
} from '../trust/index.ts';
export {
  type Announced,
  type AnnounceOptions,
  type AnnounceStep,
  announce,
  checkLastProposal,
  propose,
  type Site,
  type Waiting,
  waitForLeaf,
  waitForTrustSet,
} from './announce.ts';
export type { Logged, Pending, WaitingProposal } from './answers.ts';
export * from './bundle-file.ts';
export * from './countersign.ts';
export * from './draft.ts';
export * from './evidence-folder.ts';
export * from './evidence-publish.ts';
export * from './evidence-signing.ts';
export * from './manifests.ts';
export * from './policies.ts';
export * from './revoke.ts';
export * from './service-record.ts';
export * from './site.ts';
export * from './submission.ts';
