/** Proofs of Merkle trees verified: inclusion and consistency (RFC 6962 section 2.1, by the algorithms of RFC 9162). */

import { equalBytes, sha256 } from '../../core/index.ts';
import { leafHash, nodeHash, rootFromPath } from '../../protocol/index.ts';
import { HASH_BYTES } from './text.ts';

/** The root of a tree without leaves: the hash of nothing. */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array());

/** The hash of a log entry: SHA-256 of 0x00 and the entry. */
export const hashEntry: (entry: Uint8Array) => Uint8Array = leafHash;

/** More steps no proof has: sizes are below 2^53. */
export const MAXIMUM_PROOF_HASHES = 63;

export interface InclusionProof {
  /** From 0. */
  readonly index: number;
  /** Leaves of the tree. */
  readonly size: number;
  /** From the leaf's sibling upward; each 32 bytes. */
  readonly hashes: readonly Uint8Array[];
}

/**
 * Whether `proof` shows that the tree with this root has the leaf with this hash at the proof's index. Never throws.
 * @param leaf, root 32 bytes each.
 */
export function verifyInclusion(proof: InclusionProof, leaf: Uint8Array, root: Uint8Array): boolean {
  const { index, size, hashes } = proof;
  if (!isSize(index) || !isSize(size) || !areHashes([leaf, root, ...hashes])) return false;
  const computed = rootFromPath(leaf, index, size, hashes);
  return computed !== undefined && equalBytes(computed, root);
}

export interface TreeHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/**
 * Whether `proof` shows that the newer tree begins with all leaves of the older one (RFC 9162 section 2.1.4.2). For an
 * empty older tree, and for trees of the same size, the proof must be empty. Never throws.
 */
export function verifyConsistency(older: TreeHead, newer: TreeHead, proof: readonly Uint8Array[]): boolean {
  if (!isSize(older.size) || !isSize(newer.size) || older.size > newer.size) return false;
  if (!areHashes([older.root, newer.root, ...proof])) return false;
  if ([older, newer].some(({ size, root }) => size === 0 && !equalBytes(root, EMPTY_ROOT))) return false;
  if (older.size === newer.size) return proof.length === 0 && equalBytes(older.root, newer.root);
  if (older.size === 0) return proof.length === 0;
  return walkConsistency(older, newer, proof);
}

function walkConsistency(older: TreeHead, newer: TreeHead, proof: readonly Uint8Array[]): boolean {
  let fn = older.size - 1;
  let sn = newer.size - 1;
  while (fn % 2 === 1) {
    fn = half(fn);
    sn = half(sn);
  }
  // A complete older tree is itself the first node, which the proof then leaves out.
  const path = fn === 0 ? [older.root, ...proof] : proof;
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let fr = first;
  let sr = first;
  for (const hash of rest) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(hash, fr);
      sr = nodeHash(hash, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn = half(fn);
        sn = half(sn);
      }
    } else {
      sr = nodeHash(sr, hash);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equalBytes(fr, older.root) && equalBytes(sr, newer.root);
}

/** Not by bits: sizes go beyond 32 of them. */
function half(value: number): number {
  return Math.floor(value / 2);
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.length <= MAXIMUM_PROOF_HASHES + 2 && hashes.every((hash) => hash.length === HASH_BYTES);
}
