/** Merkle trees over a batch of leaves, hashed as in RFC 6962 section 2.1: 0x00 before leaves, 0x01 before nodes. */

import { sha256 } from '../core/index.ts';

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function leafHash(leaf: Uint8Array): Uint8Array {
  return sha256(LEAF, leaf);
}

/** The hash of the node above two others, of 32 bytes each. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE, left, right);
}

/** The tree's root, and for each leaf its audit path from the leaf upwards. `leaves` are leaf hashes, at least one. */
export function merkleTree(leaves: readonly Uint8Array[]): { root: Uint8Array; paths: Uint8Array[][] } {
  const paths: Uint8Array[][] = leaves.map(() => []);
  // Each entry: a subtree's hash and the leaves beneath it.
  let level = leaves.map((hash, index) => ({ hash, first: index, last: index }));
  while (level.length > 1) {
    const next: typeof level = [];
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i]!;
      const right = level[i + 1];
      if (!right) {
        next.push(left);
        continue;
      }
      for (let leaf = left.first; leaf <= left.last; leaf++) paths[leaf]!.push(right.hash);
      for (let leaf = right.first; leaf <= right.last; leaf++) paths[leaf]!.push(left.hash);
      next.push({ hash: nodeHash(left.hash, right.hash), first: left.first, last: right.last });
    }
    level = next;
  }
  return { root: level[0]!.hash, paths };
}

/** The root that a leaf hash and its path lead to (RFC 9162 section 2.1.3.2), or undefined where the path is misshapen. */
export function rootFromPath(
  leaf: Uint8Array,
  index: number,
  size: number,
  path: readonly Uint8Array[],
): Uint8Array | undefined {
  if (index >= size) return undefined;
  let fn = index;
  let sn = size - 1;
  let hash = leaf;
  for (const sibling of path) {
    if (sn === 0) return undefined;
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? hash : undefined;
}
