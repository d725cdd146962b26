/** What a node keeps of itself, under the same root as its records (docs/protocol.md, section 7). */

import { codec, type Infer, sha256, utf8 } from '../core/index.ts';

const { bytes, flag, list, message, uint } = codec;

const nodeState = message('holdfast/node-state/v1', {
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
});

export type NodeState = Infer<typeof nodeState>;
export const encodeNodeState = nodeState.encode;
export const decodeNodeState = nodeState.decode;

/** What a node knows of itself before anything has happened. */
export function emptyNodeState(nodes: number): NodeState {
  const proofs = Array.from({ length: nodes }, () => new Uint8Array(0));
  return { incarnation: 0, fences: proofs.map(() => 0), proofs, sound: false };
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
