/** A Merkle tree's right edge, enough to append to the tree and to tell its root (RFC 6962 section 2.1). */

import { HoldfastError } from '../../core/index.ts';
import { nodeHash } from '../../protocol/index.ts';
import { EMPTY_ROOT } from './merkle.ts';
import { HASH_BYTES } from './text.ts';

/** A complete subtree: the leaves from `index * 2^level` up to `(index + 1) * 2^level`. Level 0 is the leaves. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** Called for each node that an append completes, the leaf first, then upward. */
export type OnNode = (node: TreeNode, hash: Uint8Array) => void;

/** The complete subtrees that the leaves from 0 to `size` fall into, from left to right: one per bit set in `size`. */
export function peaks(size: number): TreeNode[] {
  if (!Number.isSafeInteger(size) || size < 0)
    throw new HoldfastError('malformed', 'a size must be from 0 to 2^53 - 1');
  const nodes: TreeNode[] = [];
  for (let level = 52; level >= 0; level--) {
    const width = 2 ** level;
    if (Math.floor(size / width) % 2 === 1) nodes.push({ level, index: Math.floor(size / width) - 1 });
  }
  return nodes;
}

/** The hash above all of `hashes`, which are of `peaks(size)`. At least one. */
export function joinPeaks(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.reduceRight((right, left) => nodeHash(left, right));
}

export class Frontier {
  #size: number;
  /** Of `peaks(size)`, in their order. */
  readonly #hashes: Uint8Array[];

  /**
   * The edge of an empty tree, or of one of `size` leaves whose peaks have these hashes (`peaks` tells which those are).
   * @throws HoldfastError `malformed` for another number of hashes.
   */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    if (hashes.length !== peaks(size).length || hashes.some((hash) => hash.length !== HASH_BYTES)) {
      throw new HoldfastError('malformed', `these are not the hashes of the right edge of ${size} leaves`);
    }
    this.#size = size;
    this.#hashes = [...hashes];
  }

  get size(): number {
    return this.#size;
  }

  /** The hashes of `peaks(size)`, to store the edge with. */
  get hashes(): readonly Uint8Array[] {
    return [...this.#hashes];
  }

  /** Appends a leaf by its hash (32 bytes). One more hash is computed on average. */
  append(leaf: Uint8Array, onNode?: OnNode): void {
    if (leaf.length !== HASH_BYTES) throw new HoldfastError('malformed', 'a leaf’s hash must have 32 bytes');
    let index = this.#size;
    let hash = leaf;
    onNode?.({ level: 0, index }, hash);
    for (let level = 1; index % 2 === 1; level++) {
      hash = nodeHash(this.#hashes.pop()!, hash);
      index = Math.floor(index / 2);
      onNode?.({ level, index }, hash);
    }
    this.#hashes.push(hash);
    this.#size++;
  }

  /** 32 bytes. */
  root(): Uint8Array {
    return this.#hashes.length === 0 ? EMPTY_ROOT : joinPeaks(this.#hashes);
  }

  /** Another edge of the same tree, to append to on trial. */
  clone(): Frontier {
    return new Frontier(this.#size, this.#hashes);
  }
}
