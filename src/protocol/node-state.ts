/** What a node keeps of itself, under the same root as its records (docs/protocol.md, section 7). */

import { codec, equalBytes, HoldfastError, type Infer, sha256, utf8 } from '../core/index.ts';
import { membershipDigest } from './epoch.ts';
import type { Fleet } from './fleet.ts';

const { bytes, fixed, flag, list, message, optional, struct, uint } = codec;

const nodeState = message('holdfast/node-state/v2', {
  /** Counts restarts and repairs, from 1. */
  incarnation: uint,
  /** The highest incarnation accepted from node i, at index i - 1; this node's own included. */
  fences: list(uint, 9),
  /**
   * For each other node that has a fence, that node's own signed rejoin of that incarnation; else empty. A fence is
   * believed for its proof only: a liar could otherwise fence every honest node off.
   */
  proofs: list(bytes(4096), 9),
  /**
   * False from when this node finds that it has forgotten something until `t` others have told it again. It outlives a
   * restart: an anchor written while repairing must not make a store that still lacks votes pass for a whole one.
   */
  sound: flag,
  /** The epoch that this node takes part in, and the digest of its membership; 0 and zeros where nothing is known. */
  epoch: uint,
  membership: fixed(32),
  /** Set once and for ever when it leaves `epoch`: the one membership that it left for, and its root of digests then. */
  left: optional(struct({ next: fixed(32), root: fixed(32) })),
  /** Its own signed `leave` of the epoch before this one; empty where it was not there, or did not leave it whole. */
  leave: bytes(4096),
  /** Whether it has served in `epoch`: what `t` nodes took along from the epoch before is then part of its own state. */
  joined: flag,
});

export type NodeState = Infer<typeof nodeState>;
export const encodeNodeState = nodeState.encode;
export const decodeNodeState = nodeState.decode;

const NOTHING = new Uint8Array(0);

/** What a node knows of itself before anything has happened. */
export function emptyNodeState(nodes: number): NodeState {
  return {
    incarnation: 0,
    ...noFences(nodes),
    sound: false,
    epoch: 0,
    membership: new Uint8Array(32),
    left: undefined,
    leave: NOTHING,
    joined: false,
  };
}

/** What a new node of this fleet knows of itself: of records nothing, and there is nothing that it has forgotten. */
export function newNodeState(fleet: Fleet): NodeState {
  return { ...enterEpoch(emptyNodeState(fleet.nodes.length), fleet), incarnation: 1, sound: true };
}

function noFences(nodes: number): Pick<NodeState, 'fences' | 'proofs'> {
  return { fences: Array.from({ length: nodes }, () => 0), proofs: Array.from({ length: nodes }, () => NOTHING) };
}

/**
 * The state with which a node takes part in its fleet's epoch; the same one where it does already. Fences begin anew: they
 * are about votes of one epoch, and replaced nodes count their incarnations from 1.
 * @param leave this node's signed `leave` of the epoch before, where it left that one whole.
 * @throws HoldfastError `other_epoch` where the node has left this epoch, or for another membership.
 */
export function enterEpoch(state: NodeState, fleet: Fleet, leave: Uint8Array = NOTHING): NodeState {
  const membership = membershipDigest(fleet);
  const refuse = (why: string): never => {
    throw new HoldfastError('other_epoch', why);
  };
  if (state.epoch > fleet.epoch) {
    refuse(`this node has gone on to epoch ${state.epoch}; install the trust file of that epoch`);
  }
  if (state.epoch === fleet.epoch) {
    if (!equalBytes(state.membership, membership)) {
      refuse(`the trust file names other nodes for epoch ${fleet.epoch} than the one that this node joined with`);
    }
    if (state.left)
      refuse(`this node has left epoch ${fleet.epoch}; install the trust file of epoch ${fleet.epoch + 1}`);
    return state;
  }
  if (state.left && fleet.epoch === state.epoch + 1 && !equalBytes(state.left.next, membership)) {
    refuse(`this node has left epoch ${state.epoch} for other nodes than this trust file names`);
  }
  return {
    ...state,
    ...noFences(fleet.nodes.length),
    epoch: fleet.epoch,
    membership,
    left: undefined,
    leave,
    joined: (fleet.earlier ?? []).length === 0,
  };
}

/**
 * Leaves the epoch for `next`; the same state where it has done so before.
 * @throws HoldfastError `conflict` where it has left for another membership: two successors must never both begin.
 */
export function leaveEpoch(state: NodeState, next: Fleet, root: Uint8Array): NodeState {
  const digest = membershipDigest(next);
  if (!state.left) return { ...state, left: { next: digest, root } };
  if (equalBytes(state.left.next, digest)) return state;
  throw new HoldfastError('conflict', `this node has left epoch ${state.epoch} for other nodes`);
}

/**
 * Which of two descriptions a node takes part in: `next` once it has left for it, else `current`.
 * @param stored the node's stored state, or undefined where there is none.
 */
export function fleetToEnter(stored: NodeState | undefined, current: Fleet, next: Fleet | undefined): Fleet {
  if (!stored || !next || next.epoch <= current.epoch) return current;
  const digest = membershipDigest(next);
  const gone = stored.left && stored.epoch === next.epoch - 1 && equalBytes(stored.left.next, digest);
  const there = stored.epoch === next.epoch && equalBytes(stored.membership, digest);
  return gone || there ? next : current;
}

/** Raises one node's fence, with its proof; the same state where the fence stands as high already. */
export function raiseFence(state: NodeState, node: number, incarnation: number, proof: Uint8Array): NodeState {
  if (state.fences[node - 1]! >= incarnation) return state;
  const at = <T>(values: readonly T[], value: T) => values.map((old, i) => (i + 1 === node ? value : old));
  return { ...state, fences: at(state.fences, incarnation), proofs: at(state.proofs, proof) };
}

/** The dictionary key beneath which it is stored: no record id hashes to it by accident. */
export const NODE_STATE_KEY = sha256(utf8('holdfast/node-state-key/v1'));

/** The sync digest of an entry that nodes do not compare. */
export const NOT_COMPARED = new Uint8Array(32);
