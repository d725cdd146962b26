/** Joining what other nodes know: certified state by its proofs, and, while repairing, uncertified votes (section 7). */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import type { RecordFacts } from '../facts.ts';
import type { PortableRecord, RecordState } from '../record.ts';
import { decideConfirm } from './attempt.ts';
import type { Context, Head } from './decision.ts';
import { decideDestroy } from './destroy.ts';
import { decideActivate } from './enrol.ts';

/** Stands for "some document, this node must not say which": no document has this hash. */
const ABSTAIN = new Uint8Array(32);

/**
 * The join of a state with what another party carries. Parts that do not apply any more change nothing.
 * @throws HoldfastError `untrusted` or `malformed` where a part's proof is wrong; nothing of it is then taken.
 */
export function mergeCertified(
  context: Context,
  state: RecordState,
  carried: PortableRecord,
  heads: readonly Head[] = [],
): RecordState {
  if (!equalBytes(carried.record, state.record))
    throw new HoldfastError('malformed', 'carried state is of another record');
  let merged = state;
  if (carried.tombstone) merged = decideDestroy(context, merged, carried.tombstone).state;
  if (carried.activation) merged = decideActivate(context, merged, carried.activation).state;
  if (carried.confirmation && merged.active) merged = decideConfirm(context, merged, carried.confirmation, heads).state;
  return merged;
}

/**
 * Takes over a peer's votes as this node's own: it may have cast them before its memory was rolled back. Where votes for
 * one number differ, the node abstains on that number. The peer's certified state must have been merged before.
 * @throws HoldfastError `behind` where the peer claims certified state that this node lacks the proof of.
 */
export function mergeVotes(context: Context, state: RecordState, peer: RecordFacts): RecordState {
  const ownActive = state.active?.generation ?? 0;
  const peerActive = peer.active?.generation ?? 0;
  const destroyed = state.tombstone?.generation ?? 0;
  const unproven =
    peer.tombstone > Math.max(destroyed, ownActive) ||
    peerActive > Math.max(ownActive, destroyed) ||
    // A node that voted "spent" holds confirmations off on purpose.
    (peerActive === ownActive &&
      peer.active &&
      peer.active.confirmed > state.active!.confirmed &&
      !state.active!.spent);
  if (unproven) throw new HoldfastError('behind', 'a peer claims certified state without its proof');
  return mergeAttempt(context, mergeOpening(context, state, peer), peer);
}

function mergeOpening(context: Context, state: RecordState, peer: RecordFacts): RecordState {
  if (peer.highest < state.highest) return state;
  const theirs = peer.open && { ...peer.open, time: context.now };
  if (peer.highest > state.highest) {
    return {
      ...state,
      highest: peer.highest,
      open: theirs,
      stage: peer.stage && { documentHash: peer.stage, document: undefined },
    };
  }
  const { open, stage } = state;
  // Activated here: neither vote matters any more.
  if (state.active?.generation === state.highest) return state;
  const sameOpen =
    open &&
    theirs &&
    equalBytes(open.blindHash, theirs.blindHash) &&
    equalBytes(open.ownerKey, theirs.ownerKey) &&
    open.takeover === theirs.takeover;
  const sameStage = stage && peer.stage && equalBytes(stage.documentHash, peer.stage);
  return {
    ...state,
    open: sameOpen ? { ...open, cancelled: open.cancelled || theirs.cancelled } : undefined,
    stage: mergedStage(stage, peer.stage, sameStage),
  };
}

function mergedStage(
  own: RecordState['stage'],
  theirs: Uint8Array | undefined,
  same: boolean | undefined,
): RecordState['stage'] {
  if (same || !theirs) return own;
  return { documentHash: own ? ABSTAIN : theirs, document: undefined };
}

function mergeAttempt(context: Context, state: RecordState, peer: RecordFacts): RecordState {
  const { active } = state;
  const theirs = peer.active;
  if (!active || !theirs || theirs.generation !== active.generation) return state;
  let { attempt, vote, attemptTime } = active;
  if (theirs.attempt > attempt) {
    ({ attempt, vote } = theirs);
    attemptTime = context.now;
  } else if (theirs.attempt === attempt && !(vote && theirs.vote && equalBytes(vote, theirs.vote))) {
    vote = undefined;
  }
  const spent = active.spent ?? (theirs.spent ? { attempt, confirmed: active.confirmed } : undefined);
  return { ...state, active: { ...active, attempt, vote, attemptTime, spent } };
}
