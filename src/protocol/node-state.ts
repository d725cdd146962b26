/** What a node keeps of itself, under the same root as its records (docs/protocol.md, section 7). */

import { codec, type Infer, sha256, utf8 } from '../core/index.ts';

const { flag, list, message, uint } = codec;

const nodeState = message('holdfast/node-state/v1', {
  /** Counts restarts and repairs, from 1. */
  incarnation: uint,
  /** The highest incarnation accepted from node i, at index i - 1; this node's own included. */
  fences: list(uint, 9),
  /**
   * False from when this node finds that it has forgotten something until `t` others have told it again. It outlives a
   * restart: an anchor written while repairing must not make a store that still lacks votes pass for a whole one.
   */
  sound: flag,
});

export type NodeState = Infer<typeof nodeState>;
export const encodeNodeState = nodeState.encode;
export const decodeNodeState = nodeState.decode;

/** The dictionary key beneath which it is stored: no record id hashes to it by accident. */
export const NODE_STATE_KEY = sha256(utf8('holdfast/node-state-key/v1'));

/** The sync digest of an entry that nodes do not compare. */
export const NOT_COMPARED = new Uint8Array(32);
