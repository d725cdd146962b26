/**
 * A bucket: the sorted entries (key, value hash, sync digest) whose hashed keys begin with the same 16 bits. Buckets are
 * the leaves of the dictionary's two Merkle trees; leaf hashes carry the prefix 0x00 of RFC 6962 section 2.1.
 */

import { HoldfastError } from '../core/index.ts';
import { HASH_SIZE, labelledHash } from './hash-tree.ts';

/** Bytes of a dictionary key. */
export const KEY_SIZE = 32;
/** Bytes of one entry: key, value hash, sync digest. */
export const ENTRY_SIZE = KEY_SIZE + 2 * HASH_SIZE;

/** Where one key's entry in a bucket says its value and facts are. */
export interface BucketEntry {
  readonly key: Uint8Array;
  readonly valueHash: Uint8Array;
  readonly syncHash: Uint8Array;
}

const hashKey = labelledHash(0, 'holdfast dictionary key v1');
const hashValue = labelledHash(0, 'holdfast dictionary value v1');
const hashBucket = labelledHash(0, 'holdfast dictionary bucket v1');
const hashSyncBucket = labelledHash(0, 'holdfast dictionary sync bucket v1');

/** The bucket that a key belongs to: the first 16 bits of its labelled hash, so that similar keys do not crowd. */
export function bucketOf(key: Uint8Array): number {
  const hash = hashKey(key);
  return hash[0]! * 256 + hash[1]!;
}

/**
 * The entries of a bucket whose keys' labelled hashes begin with `prefix`, as a bucket of its own. Whoever chooses keys can
 * crowd one bucket: deeper prefixes take it apart.
 */
export function partOf(bucket: Uint8Array, prefix: Uint8Array): Uint8Array {
  if (prefix.length <= 2) return bucket;
  const starts = startsOf(bucket).filter((at) => beginsWith(hashAt(bucket, at), prefix));
  return gather(bucket, starts);
}

/** The sync hashes of the 256 parts of a bucket that one more byte after `prefix` makes. */
export function partHashes(bucket: Uint8Array, prefix: Uint8Array): Uint8Array[] {
  const parts = Array.from({ length: 256 }, (): number[] => []);
  for (const at of startsOf(bucket)) {
    const hash = hashAt(bucket, at);
    if (beginsWith(hash, prefix)) parts[hash[prefix.length]!]!.push(at);
  }
  return parts.map((starts) => syncBucketHash(gather(bucket, starts)));
}

const startsOf = (bucket: Uint8Array): number[] =>
  Array.from({ length: bucket.length / ENTRY_SIZE }, (_, index) => index * ENTRY_SIZE);
const hashAt = (bucket: Uint8Array, at: number) => hashKey(bucket.subarray(at, at + KEY_SIZE));
const beginsWith = (bytes: Uint8Array, prefix: Uint8Array) => prefix.every((byte, index) => byte === bytes[index]);

function gather(bucket: Uint8Array, starts: readonly number[]): Uint8Array {
  const part = new Uint8Array(starts.length * ENTRY_SIZE);
  for (const [index, at] of starts.entries()) part.set(bucket.subarray(at, at + ENTRY_SIZE), index * ENTRY_SIZE);
  return part;
}

/** Ties a value to its key: a value copied to another key has another hash. */
export function valueHash(key: Uint8Array, value: Uint8Array): Uint8Array {
  return hashValue(key, value);
}

/** Hash over all entries of a bucket as stored. */
export function bucketHash(bucket: Uint8Array): Uint8Array {
  return hashBucket(bucket);
}

/** Hash over the keys and sync digests only: equal where nodes agree, whatever else their values hold. */
export function syncBucketHash(bucket: Uint8Array): Uint8Array {
  const facts = new Uint8Array((bucket.length / ENTRY_SIZE) * (KEY_SIZE + HASH_SIZE));
  let to = 0;
  for (let at = 0; at < bucket.length; at += ENTRY_SIZE) {
    facts.set(bucket.subarray(at, at + KEY_SIZE), to);
    facts.set(bucket.subarray(at + KEY_SIZE + HASH_SIZE, at + ENTRY_SIZE), to + KEY_SIZE);
    to += KEY_SIZE + HASH_SIZE;
  }
  return hashSyncBucket(facts);
}

/** @throws HoldfastError `store_refused` for a stored bucket that no dictionary writes. */
export function checkShape(bucket: Uint8Array): void {
  if (bucket.length === 0 || bucket.length % ENTRY_SIZE !== 0) {
    throw new HoldfastError('store_refused', 'A stored bucket is damaged. Repair this node from the other nodes.');
  }
}

/** The entry at position `at` of a bucket, as views. */
function entryAt(bucket: Uint8Array, index: number): BucketEntry {
  const at = index * ENTRY_SIZE;
  return {
    key: bucket.subarray(at, at + KEY_SIZE),
    valueHash: bucket.subarray(at + KEY_SIZE, at + KEY_SIZE + HASH_SIZE),
    syncHash: bucket.subarray(at + KEY_SIZE + HASH_SIZE, at + ENTRY_SIZE),
  };
}

/** All entries in key order, as views. */
export function entriesOf(bucket: Uint8Array): BucketEntry[] {
  return Array.from({ length: bucket.length / ENTRY_SIZE }, (_, index) => entryAt(bucket, index));
}

/** Order of `key` and the key of the entry that starts at byte `at`. */
function compareAt(bucket: Uint8Array, at: number, key: Uint8Array): number {
  for (let i = 0; i < KEY_SIZE; i++) {
    const difference = bucket[at + i]! - key[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The index of the first entry whose key is not below `key`. */
function lowerBound(bucket: Uint8Array, key: Uint8Array): number {
  let low = 0;
  let high = bucket.length / ENTRY_SIZE;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareAt(bucket, middle * ENTRY_SIZE, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The entry of `key`, as views, or undefined. */
export function findEntry(bucket: Uint8Array, key: Uint8Array): BucketEntry | undefined {
  const index = lowerBound(bucket, key);
  if (index * ENTRY_SIZE === bucket.length || compareAt(bucket, index * ENTRY_SIZE, key) !== 0) return undefined;
  return entryAt(bucket, index);
}

/** A new bucket with `changed` entries added or put in place of those with the same keys. */
export function mergeEntries(bucket: Uint8Array, changed: readonly BucketEntry[]): Uint8Array {
  const places = changed
    .toSorted((a, b) => compareAt(a.key, 0, b.key))
    .map((entry) => {
      const at = lowerBound(bucket, entry.key) * ENTRY_SIZE;
      return { entry, at, known: at < bucket.length && compareAt(bucket, at, entry.key) === 0 };
    });
  const merged = new Uint8Array(bucket.length + places.filter(({ known }) => !known).length * ENTRY_SIZE);
  let from = 0;
  let to = 0;
  for (const { entry, at, known } of places) {
    merged.set(bucket.subarray(from, at), to);
    to += at - from;
    merged.set(entry.key, to);
    merged.set(entry.valueHash, to + KEY_SIZE);
    merged.set(entry.syncHash, to + KEY_SIZE + HASH_SIZE);
    to += ENTRY_SIZE;
    from = known ? at + ENTRY_SIZE : at;
  }
  merged.set(bucket.subarray(from), to);
  return merged;
}
