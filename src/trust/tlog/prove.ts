/** Inclusion and consistency proofs made from the hashes of complete subtrees (RFC 6962 sections 2.1.1 and 2.1.2). */

import { HoldfastError } from '../../core/index.ts';
import { joinPeaks, peaks, type TreeNode } from './frontier.ts';
import { EMPTY_ROOT, type InclusionProof } from './merkle.ts';

/** Where a tree's hashes come from: tiles on disk, tiles fetched, or memory. */
export interface HashReader {
  /**
   * The hashes, 32 bytes each, of these complete subtrees, in their order. Throws if it does not have one. A proof made
   * of wrong hashes does not verify, so a reader need not check them.
   */
  readHashes(nodes: readonly TreeNode[]): Promise<readonly Uint8Array[]>;
}

/**
 * The root of the tree's first `size` leaves: what a checkpoint of that size has to say.
 * @throws HoldfastError `malformed` for a size that cannot be; and whatever the reader throws.
 */
export async function treeRoot(size: number, reader: HashReader): Promise<Uint8Array> {
  const nodes = peaks(size);
  return nodes.length === 0 ? EMPTY_ROOT : joinPeaks(await read(reader, nodes));
}

/**
 * The proof that leaf `index` is in the tree of `size` leaves. About 3 `log2(size)` hashes at most are read, in one call.
 * @throws HoldfastError `malformed` unless 0 <= index < size; and whatever the reader throws.
 */
export async function proveInclusion(index: number, size: number, reader: HashReader): Promise<InclusionProof> {
  if (!Number.isSafeInteger(index) || index < 0 || !(index < size)) {
    throw new HoldfastError('malformed', `leaf ${index} is not in a tree of ${size} leaves`);
  }
  return { index, size, hashes: await readRanges(siblingsOfLeaf(index, 0, size), reader) };
}

/**
 * The proof that the tree of `newer` leaves begins with that of `older`. Empty for an older tree that is empty, or equal.
 * @throws HoldfastError `malformed` unless 0 <= older <= newer; and whatever the reader throws.
 */
export async function proveConsistency(older: number, newer: number, reader: HashReader): Promise<Uint8Array[]> {
  if (!Number.isSafeInteger(older) || !Number.isSafeInteger(newer) || older < 0 || older > newer) {
    throw new HoldfastError('malformed', `${older} leaves are not the beginning of ${newer}`);
  }
  if (older === 0 || older === newer) return [];
  return await readRanges(consistencyRanges(older, 0, newer, true), reader);
}

/** Leaves from `start` up to `end`, of which `start` is a multiple of the largest power of two up to their number. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** PATH of RFC 6962 section 2.1.1, as ranges, from the leaf upward. */
function siblingsOfLeaf(index: number, start: number, end: number): Range[] {
  if (end - start === 1) return [];
  const middle = start + splitOf(end - start);
  return index < middle
    ? [...siblingsOfLeaf(index, start, middle), { start: middle, end }]
    : [...siblingsOfLeaf(index, middle, end), { start, end: middle }];
}

/** SUBPROOF of RFC 6962 section 2.1.2, as ranges. `whole` while the older tree is itself one of the nodes. */
function consistencyRanges(older: number, start: number, end: number, whole: boolean): Range[] {
  if (older === end) return whole ? [] : [{ start, end }];
  const middle = start + splitOf(end - start);
  return older <= middle
    ? [...consistencyRanges(older, start, middle, whole), { start: middle, end }]
    : [...consistencyRanges(older, middle, end, false), { start, end: middle }];
}

/** The largest power of two below `width`, which is at least 2. */
function splitOf(width: number): number {
  let split = 1;
  while (split * 2 < width) split *= 2;
  return split;
}

async function readRanges(ranges: readonly Range[], reader: HashReader): Promise<Uint8Array[]> {
  const parts = ranges.map(nodesOf);
  const hashes = await read(reader, parts.flat());
  let at = 0;
  return parts.map((nodes) => {
    const own = hashes.slice(at, at + nodes.length);
    at += nodes.length;
    return joinPeaks(own);
  });
}

/** The complete subtrees of a range, from left to right. */
function nodesOf({ start, end }: Range): TreeNode[] {
  return peaks(end - start).map(({ level, index }) => ({ level, index: index + start / 2 ** level }));
}

async function read(reader: HashReader, nodes: readonly TreeNode[]): Promise<readonly Uint8Array[]> {
  if (nodes.length === 0) return [];
  const hashes = await reader.readHashes(nodes);
  if (hashes.length !== nodes.length) throw new HoldfastError('unexpected', 'a hash reader returned too few hashes');
  return hashes;
}
