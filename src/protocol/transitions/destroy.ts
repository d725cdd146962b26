/** Votes that a budget is spent, and destruction with its proofs (docs/protocol.md, section 6). */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { encodeOwnerAction } from '../document.ts';
import { replacingThreshold } from '../fleet.ts';
import { provenTombstone } from '../proofs.ts';
import { budgetLeft, decodeOwnerDeletion, type RecordState, type TombstoneProof } from '../record.ts';
import type { Body } from '../statement.ts';
import { generationObjection } from './attempt.ts';
import { type Context, type Decision, type Head, majorityShows, nodesShow, refuse } from './decision.ts';
import { activeDocument, place, takeoverObjection } from './enrol.ts';

/**
 * Votes that generation `generation` has no budget left, as the heads of `t + 1` nodes show together: of those one at least
 * knows of each success that was reported to anybody, also where another is malicious. Of the attempts it believes its own
 * count, or, where it has none (its token was replaced, or it has forgotten), `t` heads.
 *
 * A head counts once `destroyAfter` has passed, on its node's clock, since that node's last vote: an older one, from between
 * the last vote and its confirmation, could be kept to have this node hold the confirmation off for ever.
 */
export function decideSpent(
  context: Context,
  state: RecordState,
  request: { readonly generation: number; readonly attempt: number; readonly confirmed: number },
  heads: readonly Head[],
): Decision {
  const objection = generationObjection(state, request.generation);
  if (objection) return { state, refusal: objection };
  const active = state.active!;
  const { policy } = context.fleet;
  const delay = policy.destroyAfter * 1000;
  const ofGeneration = heads.filter((head) => head.body.facts.active?.generation === active.generation);
  const needed = replacingThreshold(context.fleet);
  if (!nodesShow(needed, state.record, ofGeneration, () => true)) {
    return refuse(state, 'behind', `this needs the heads of ${needed} nodes`);
  }
  let joined = active.confirmed;
  for (const { body } of ofGeneration) {
    if (!equalBytes(body.record, state.record)) continue;
    joined = Math.max(joined, body.facts.active!.confirmed);
  }
  const { attempt, confirmed } = request;
  // Less than `t` heads can only show that attempts are left, never that there are none: no liar may destroy a record. What
  // is barred here or there is not counted.
  const counted =
    attempt <= active.attempt ||
    majorityShows(context, state.record, ofGeneration, ({ facts }) => facts.active!.attempt >= attempt);
  if (!counted || confirmed < joined) {
    return refuse(state, 'conflict', `${active.attempt} attempts here, ${joined} confirmed among the heads`);
  }
  if (budgetLeft(policy, attempt, confirmed) > 0) return refuse(state, 'conflict', 'attempts are left');
  const until = Math.min(active.attemptTime, context.now) + delay;
  if (context.now < until) {
    const kept =
      active.attemptTime <= context.now ? state : { ...state, active: { ...active, attemptTime: context.now } };
    return {
      state: kept,
      refusal: new HoldfastError('waiting', 'it is too early to destroy the record', { details: { until } }),
    };
  }
  const late = ({ signer, body }: Head) => signer.time >= body.attemptTime + delay;
  if (!nodesShow(needed, state.record, ofGeneration.filter(late), () => true)) {
    return refuse(state, 'behind', `this needs the heads of ${needed} nodes on which the last vote is old enough`);
  }
  return {
    state: { ...state, active: { ...active, spent: { attempt, confirmed } } },
    body: { kind: 'spent', ...place(context, state, active.generation), attempt, confirmed },
  };
}

/** Deletes the document of every generation up to the proven one; the tombstone with its proof stays. */
export function decideDestroy(context: Context, state: RecordState, proof: TombstoneProof): Decision {
  const { generation } = proof;
  const body: Body<'destroyed'> = { kind: 'destroyed', ...place(context, state, generation) };
  if (state.tombstone && state.tombstone.generation >= generation) return { state, body };
  const objection = proofObjection(context, state, proof);
  if (objection) return { state, refusal: objection };
  const forbidden = takeoverForbidden(context, state, proof);
  if (forbidden) return { state, refusal: forbidden };
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

/** The refusal where a takeover that the policy no longer allows would delete the active record of an older generation. */
function takeoverForbidden(
  context: Context,
  { active }: RecordState,
  { generation, kind, proof }: TombstoneProof,
): HoldfastError | undefined {
  if (kind !== 'owner' || !active || active.generation >= generation || !takeoverObjection(context)) return undefined;
  if (!decodeOwnerDeletion(proof).stageCertificate) return undefined;
  return new HoldfastError('conflict', 'this fleet allows no takeover of the record that is active here');
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
