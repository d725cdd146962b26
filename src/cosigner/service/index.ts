/** The cosigner: rules, submission, witnesses' cosignatures, trust sets, Plexi view, HTTP. */

export { Approvals, type WaitingProposal } from './approvals.ts';
export type { ClaimRules } from './claims.ts';
export {
  Cosigner,
  type CosignerOptions,
  type EvidenceContext,
  type EvidencePort,
  type Logged,
  type Pending,
} from './cosigner.ts';
export { createEvidenceCheck, type FetchEvidence } from './evidence.ts';
export { EvidenceFiles } from './evidence-files.ts';
export { type AcceptedBundle, type FleetRecord, Ledger } from './ledger.ts';
export { PlexiView } from './plexi-view.ts';
export type { ProposalRules } from './rules.ts';
export {
  type CosignerLogOptions,
  type CosignerServiceOptions,
  type CosignerSigners,
  initialiseCosigner,
  type RunningCosigner,
  startCosignerService,
} from './service.ts';
export { TrustSets } from './trust-sets.ts';
