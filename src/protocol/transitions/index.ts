/** The record state machine: one pure function per request. */

import { decideAttempt, decideConfirm, decideEvaluation } from './attempt.ts';
import { cancelObjection, decideDestroy, decideSpent } from './destroy.ts';
import { decideActivate, decideCancel, decideOpen, decideStage } from './enrol.ts';
import { mergeCertified, mergeVotes } from './merge.ts';

export * from './attempt.ts';
export * from './decision.ts';
export * from './destroy.ts';
export * from './enrol.ts';
export * from './merge.ts';

/** All that a node applies to its records, as one object: the simulation puts broken ones in its place. */
export const transitions = {
  decideOpen,
  decideStage,
  decideActivate,
  decideAttempt,
  decideEvaluation,
  decideConfirm,
  decideSpent,
  decideDestroy,
  cancelObjection,
  decideCancel,
  mergeCertified,
  mergeVotes,
};
export type Transitions = typeof transitions;
