/** Votes that a budget is spent, and destruction with its proofs (docs/protocol.md, section 6). */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { encodeOwnerAction } from '../document.ts';
import { provenTombstone } from '../proofs.ts';
import { budgetLeft, decodeOwnerDeletion, type RecordState, type TombstoneProof } from '../record.ts';
import type { Body } from '../statement.ts';
import { generationObjection } from './attempt.ts';
import { type Context, type Decision, type Head, majorityShows, refuse } from './decision.ts';
import { activeDocument, adoptOpen, latestTime, place, takeoverDelay } from './enrol.ts';

/** Votes that generation `generation` has no budget left, as this node and the heads of `t` nodes show together. */
export function decideSpent(
  context: Context,
  state: RecordState,
  request: { readonly generation: number; readonly attempt: number; readonly confirmed: number },
  heads: readonly Head[],
): Decision {
  const objection = generationObjection(state, request.generation);
  if (objection) return { state, refusal: objection };
  const active = state.active!;
  const ofGeneration = heads.filter((head) => head.body.facts.active?.generation === active.generation);
  if (!majorityShows(context, state.record, ofGeneration, () => true)) {
    return refuse(state, 'behind', 'this needs the heads of a majority');
  }
  let joined = active.confirmed;
  for (const { body } of ofGeneration) {
    if (!equalBytes(body.record, state.record)) continue;
    joined = Math.max(joined, body.facts.active!.confirmed);
  }
  const { attempt, confirmed } = request;
  // Heads can only show that attempts are left, never that there are none: one lying head must not destroy a record.
  if (attempt > active.attempt || confirmed < joined) {
    return refuse(state, 'conflict', `${active.attempt} attempts here, ${joined} confirmed among the heads`);
  }
  const { policy } = context.fleet;
  if (budgetLeft(policy, attempt, confirmed) > 0) return refuse(state, 'conflict', 'attempts are left');
  const until = Math.min(active.attemptTime, context.now) + policy.destroyAfter * 1000;
  if (context.now < until) {
    const kept =
      active.attemptTime <= context.now ? state : { ...state, active: { ...active, attemptTime: context.now } };
    return {
      state: kept,
      refusal: new HoldfastError('waiting', 'it is too early to destroy the record', { details: { until } }),
    };
  }
  return {
    state: { ...state, active: { ...active, spent: { attempt, confirmed } } },
    body: { kind: 'spent', ...place(context, state, active.generation), attempt, confirmed },
  };
}

/**
 * Deletes the document of every generation up to the proven one; the tombstone with its proof stays. Whoever took a record
 * over may so delete it where it is active; elsewhere only once they could have activated it.
 */
export function decideDestroy(context: Context, state: RecordState, proof: TombstoneProof): Decision {
  const { generation } = proof;
  const body: Body<'destroyed'> = { kind: 'destroyed', ...place(context, state, generation) };
  if (state.tombstone && state.tombstone.generation >= generation) return { state, body };
  const objection = proofObjection(context, state, proof);
  if (objection) return { state, refusal: objection };
  const early = tooEarly(context, state, proof);
  if (early) return early;
  const newer = state.highest > generation;
  return {
    state: {
      ...state,
      highest: Math.max(state.highest, generation),
      open: newer ? state.open : undefined,
      stage: newer ? state.stage : undefined,
      active: state.active && state.active.generation > generation ? state.active : undefined,
      tombstone: proof,
    },
    body,
  };
}

/**
 * The refusal where a takeover would delete the active record of an older generation before its owner's time to cancel it
 * has passed here, or after the owner did. (With its opening's certificate alone it could else be deleted at once.)
 */
function tooEarly(
  context: Context,
  state: RecordState,
  { generation, kind, proof }: TombstoneProof,
): Decision | undefined {
  if (kind !== 'owner' || !state.active || state.active.generation >= generation) return undefined;
  const { certificate, body } = context.verifier.encodedProof(decodeOwnerDeletion(proof).openCertificate, 'open');
  if (!body.takeover) return undefined;
  const adopted = adoptOpen(context, state, generation, { body, latest: latestTime(certificate.signatures) });
  if (adopted.highest > generation || !adopted.open || adopted.open.cancelled) {
    return refuse(state, 'conflict', 'this takeover was cancelled here, or another generation was opened since');
  }
  const early = takeoverDelay(context, adopted);
  // Another opening of that generation that this node voted for stays its vote.
  const another = adopted !== state && state.highest === generation;
  return early && another ? { ...early, state } : early;
}

function proofObjection(context: Context, state: RecordState, proof: TombstoneProof): HoldfastError | undefined {
  try {
    provenTombstone(context.verifier, state.record, proof);
    return undefined;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'owner_required') return error;
    throw error;
  }
}

/** The refusal unless the owner of the active generation signed the cancelling of generation `generation`. */
export function cancelObjection(
  context: Context,
  state: RecordState,
  generation: number,
  signature: Uint8Array,
): HoldfastError | undefined {
  const document = activeDocument(state);
  if (!document) return new HoldfastError('behind', 'no generation is active here');
  const signed = encodeOwnerAction({ fleet: context.fleet.fleet, record: state.record, generation, action: 'cancel' });
  const right = context.verifier.checks.ed25519(document.ownerKey, signed, signature);
  return right ? undefined : new HoldfastError('owner_required', 'the signature is not by the record’s current owner');
}
