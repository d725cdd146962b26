/** Joining what other nodes know: certified state by its proofs, and, while repairing, uncertified votes (section 7). */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { position, type RecordFacts } from '../facts.ts';
import { replacingThreshold, threshold } from '../fleet.ts';
import type { ActiveRecord, PortableRecord, RecordState } from '../record.ts';
import { decideConfirm } from './attempt.ts';
import type { Context, Head } from './decision.ts';
import { decideDestroy } from './destroy.ts';
import { decideActivate } from './enrol.ts';

/** Stands for "some document, this node must not say which": no document has this hash. */
const ABSTAIN = new Uint8Array(32);
/** Openings beyond what this node knows of that peers are believed at once: a liar must not use the numbers up. */
const OPENING_LEAP = 1024;

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
 * @throws HoldfastError `behind` where a peer claims certified state that this node, after merging what the peer sent,
 *   still lacks the proof of.
 */
export function requireProven(state: RecordState, peer: RecordFacts): void {
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
}

/**
 * Keeps this node from contradicting votes that it may have cast and forgotten when it was rolled back.
 *
 * A forgotten vote matters only if `t - 1` others may have cast the same, `t` where a certificate needs `t + 1` votes. So with
 * `unheard` other nodes not heard, a number counts as possibly voted for where `t - 1 - unheard` of the heard ones are there
 * or beyond; a generation as possibly opened or staged, and a budget as called spent, where `t - unheard` are. What is only possible
 * is barred, never counted: a lying peer can make this node abstain on numbers within the limit, but cannot spend a
 * budget, put words into its mouth, or destroy. A bar at a peer counts as a vote for the element that it names, and for
 * anything where it names none.
 * @param peers the facts of each heard peer on this record; certified state must have been merged before.
 * @param forgetful whether this node's own stored votes may be of a past that was left: a store put back twice, to
 *   different times, can hold a vote that contradicts a later one. They then count only where the peers agree.
 * @param kept what this node had barred when it entered the epoch, on this record: that stays barred, since of the nodes
 *   that voted there in the epoch before some may be gone.
 */
export function mergeVotes(
  context: Context,
  state: RecordState,
  peers: readonly RecordFacts[],
  unheard: number,
  forgetful = false,
  kept?: Bar,
): RecordState {
  const rank = Math.max(1, threshold(context.fleet) - 1 - unheard);
  const replacing = Math.max(1, replacingThreshold(context.fleet) - 1 - unheard);
  const opened = barOpening(state, peers, { replacing, rank }, forgetful);
  const barred = markSpent(barAttempts(context, opened, peers, rank, forgetful), peers, replacing);
  return kept ? keepBar(barred, kept) : barred;
}

/** Numbers of one generation that a node does not vote for. */
export interface Bar extends NonNullable<ActiveRecord['barred']> {
  readonly generation: number;
}

function keepBar(state: RecordState, { generation, upTo, vote }: Bar): RecordState {
  const { active } = state;
  if (active?.generation !== generation || upTo <= active.attempt) return state;
  const now = active.barred;
  if (now && now.upTo > upTo) return state;
  const agreed = !now || now.upTo < upTo || (vote && now.vote && equalBytes(vote, now.vote));
  return { ...state, active: { ...active, barred: { upTo, vote: agreed ? vote : undefined } } };
}

/** How many peers must say so, of what needs `t + 1` votes and of what `t` nodes gave receipts for. */
interface Ranks {
  readonly replacing: number;
  readonly rank: number;
}

function barOpening(
  state: RecordState,
  peers: readonly RecordFacts[],
  { replacing, rank }: Ranks,
  forgetful: boolean,
): RecordState {
  const most = Math.max(state.highest, state.active?.generation ?? 0) + OPENING_LEAP;
  const highest = ranked(
    peers.map((peer) => Math.min(peer.highest, most)),
    replacing,
  );
  if (highest > state.highest) {
    return { ...state, highest, open: undefined, stage: possibleStage(peers, highest, replacing) };
  }
  // Activated here: neither vote matters any more.
  if (state.active?.generation === state.highest) return state;
  const possible = possibleStage(peers, state.highest, replacing);
  if (forgetful && highest === state.highest) {
    const open = state.open && peersAgree(peers, state.highest, state.open) ? state.open : undefined;
    const agreed = !state.stage || !possible || equalBytes(state.stage.documentHash, possible.documentHash);
    return {
      ...state,
      open,
      stage: agreed ? (state.stage ?? possible) : { documentHash: ABSTAIN, document: undefined },
    };
  }
  const stage = state.stage ?? possible;
  // A cancellation is a promise, no vote: whoever was told that `t` nodes have recorded it counts on each of them.
  const cancelling = peers.filter((peer) => peer.highest === state.highest && peer.open?.cancelled);
  const cancelled = cancelling.length >= rank && state.open && !state.open.cancelled;
  if (stage === state.stage && !cancelled) return state;
  return { ...state, stage, open: cancelled ? { ...state.open!, cancelled: true } : state.open };
}

/** Whether every peer at this generation voted for this very opening, and none is beyond it. */
function peersAgree(peers: readonly RecordFacts[], generation: number, own: NonNullable<RecordState['open']>): boolean {
  return peers.every(({ highest, open }) => {
    if (highest !== generation) return highest < generation;
    return (
      open !== undefined &&
      equalBytes(open.blindHash, own.blindHash) &&
      equalBytes(open.ownerKey, own.ownerKey) &&
      open.takeover === own.takeover
    );
  });
}

/** The stage vote that this node may have cast for a generation: of the one document that its peers staged, if any. */
function possibleStage(peers: readonly RecordFacts[], generation: number, rank: number): RecordState['stage'] {
  const staged = peers.flatMap((peer) => (peer.highest === generation && peer.stage ? [peer.stage] : []));
  const beyond = peers.filter((peer) => peer.highest > generation).length;
  if (staged.length === 0 || staged.length + beyond < rank) return undefined;
  const agreed = staged.every((hash) => equalBytes(hash, staged[0]!));
  return { documentHash: agreed ? staged[0]! : ABSTAIN, document: undefined };
}

function barAttempts(
  context: Context,
  state: RecordState,
  peers: readonly RecordFacts[],
  rank: number,
  forgetful: boolean,
): RecordState {
  const { active } = state;
  if (!active) return state;
  const { limit, lifetimeLimit } = context.fleet.policy;
  const most = Math.min(active.confirmed + limit, lifetimeLimit);
  const theirs = peers.flatMap((peer) => (peer.active?.generation === active.generation ? [peer.active] : []));
  const upTo = ranked(
    theirs.map((peer) => Math.min(position(peer), most)),
    rank,
  );
  const barred = upTo > active.attempt ? { upTo, vote: agreedVote(theirs, upTo) } : undefined;
  const doubtful = forgetful && upTo >= active.attempt;
  const vote = doubtful ? (upTo === active.attempt ? agreedVote(theirs, upTo) : undefined) : active.vote;
  return { ...state, active: { ...active, vote, barred } };
}

/** Where this node may have voted "spent", it takes confirmations only as one that has. */
function markSpent(state: RecordState, peers: readonly RecordFacts[], rank: number): RecordState {
  const { active } = state;
  if (!active || active.spent) return state;
  const { generation, attempt, confirmed } = active;
  const marks = peers.filter(
    (peer) => peer.active?.generation === generation && peer.active.spent && peer.active.spent.confirmed >= confirmed,
  );
  return marks.length >= rank ? { ...state, active: { ...active, spent: { attempt, confirmed } } } : state;
}

/**
 * The one element that all peers at this number vote for, where none of them may have voted for another: a bar names the
 * element that its node's peers agreed on, and then no other that the node may have forgotten can be in a certificate.
 */
function agreedVote(peers: readonly NonNullable<RecordFacts['active']>[], number: number): Uint8Array | undefined {
  const there = peers.filter((peer) => position(peer) === number);
  const first = there[0]?.vote;
  const agreed = there.every((peer) => first && peer.vote && equalBytes(peer.vote, first));
  return agreed ? first : undefined;
}

/** The `rank`-th largest of the numbers (1 is the largest), or 0 where there are fewer. */
function ranked(numbers: readonly number[], rank: number): number {
  return [...numbers].sort((a, b) => b - a)[rank - 1] ?? 0;
}
