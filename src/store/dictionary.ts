/**
 * The authenticated dictionary over all record states (design: protocol.md section 7): every answer is checked against
 * one root, which the token anchors. Merkle hashing with the domain separation of RFC 6962 section 2.1.
 *
 * Layout. A key's labelled hash names one of 65,536 buckets. Table `record` holds bucket number and key → value (so
 * that a bucket's records lie together on the disk), `bucket` holds bucket number → sorted entries (see bucket.ts), `meta` holds the head. Two trees over the buckets are kept in memory, one
 * over whole entries and one over sync digests; the root covers both and the number of entries. They are not stored:
 * opening reads every bucket and computes them anew, so a damaged bucket is found at the start.
 */

import { bytesToHex, codec, equalBytes, HoldfastError, utf8 } from '../core/index.ts';
import {
  type BucketEntry,
  bucketHash,
  bucketOf,
  checkShape,
  ENTRY_SIZE,
  entriesOf,
  findEntry,
  KEY_SIZE,
  mergeEntries,
  partHashes,
  partOf,
  syncBucketHash,
  valueHash,
} from './bucket.ts';
import type { AuthenticatedDictionary, BatchHead, DictionaryChange, PreparedBatch } from './dictionary-types.ts';
import { HASH_SIZE, HashTree, labelledHash, type TreeChanges, TreeKind } from './hash-tree.ts';
import type { KeyValueStore, Table, Write } from './port.ts';

const EMPTY_BUCKET = new Uint8Array(0);
const EMPTY_LEAF = bucketHash(EMPTY_BUCKET);
const ENTRY_TREE = new TreeKind('holdfast dictionary node v1', EMPTY_LEAF);
const SYNC_TREE = new TreeKind('holdfast dictionary sync node v1', syncBucketHash(EMPTY_BUCKET));
const HEAD_KEY = utf8('head');

const hashRoot = labelledHash(1, 'holdfast dictionary root v1');
const hashHead = labelledHash(0, 'holdfast store head check v1');

function rootOf(size: number, entryRoot: Uint8Array, syncRoot: Uint8Array): Uint8Array {
  const count = new Uint8Array(8);
  new DataView(count.buffer).setBigUint64(0, BigInt(size));
  return hashRoot(count, entryRoot, syncRoot);
}

/** The root of a dictionary without entries, 32 bytes: parent of the first batch. */
export const emptyRoot: Uint8Array = rootOf(0, ENTRY_TREE.empty[0]!, SYNC_TREE.empty[0]!);

const headFields = {
  sequence: codec.uint,
  parent: codec.fixed(HASH_SIZE),
  root: codec.fixed(HASH_SIZE),
  size: codec.uint,
  mac: codec.bytes(1024),
};
const headMessage = codec.message('holdfast store head v1', headFields);
/** The digest finds accidents only; whoever can write to the store can compute it. The MAC is the caller's to check. */
const storedHead = codec.message('holdfast stored head v1', {
  head: codec.bytes(2048),
  digest: codec.fixed(HASH_SIZE),
});

const refused = (what: string, cause?: unknown) =>
  new HoldfastError('store_refused', `${what} Repair this node from the other nodes.`, { cause });
const misuse = (what: string) => new HoldfastError('conflict', what);

const bucketKey = (index: number) => Uint8Array.of(index >> 8, index & 255);

function recordKey(index: number, key: Uint8Array): Uint8Array {
  const stored = new Uint8Array(2 + KEY_SIZE);
  stored[0] = index >> 8;
  stored[1] = index & 255;
  stored.set(key, 2);
  return stored;
}

function checkLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new HoldfastError('malformed', `${what} is not ${length} bytes long`);
}

interface StoredState {
  readonly head: BatchHead;
  readonly size: number;
  readonly mac: Uint8Array | undefined;
}

/** What `prepare` hands out; only `commit` of the dictionary that made it looks inside. */
class Batch implements PreparedBatch {
  readonly head: BatchHead;
  readonly changes: readonly DictionaryChange[];
  readonly owner: Dictionary;
  readonly size: number;
  readonly newBuckets: ReadonlyMap<number, Uint8Array>;
  readonly oldBuckets: ReadonlyMap<number, Uint8Array>;
  readonly entryChanges: TreeChanges;
  readonly syncChanges: TreeChanges;
  /** Values as they were before, by hexadecimal key; filled when the commit begins. */
  readonly oldValues = new Map<string, Uint8Array | undefined>();

  constructor(
    owner: Dictionary,
    head: BatchHead,
    changes: readonly DictionaryChange[],
    size: number,
    newBuckets: ReadonlyMap<number, Uint8Array>,
    oldBuckets: ReadonlyMap<number, Uint8Array>,
    entryChanges: TreeChanges,
    syncChanges: TreeChanges,
  ) {
    this.owner = owner;
    this.head = head;
    this.changes = changes;
    this.size = size;
    this.newBuckets = newBuckets;
    this.oldBuckets = oldBuckets;
    this.entryChanges = entryChanges;
    this.syncChanges = syncChanges;
  }
}

class Dictionary implements AuthenticatedDictionary {
  readonly #store: KeyValueStore;
  readonly #entryTree: HashTree;
  readonly #syncTree: HashTree;
  #state: StoredState;
  /**
   * The batch whose commit is under way. A store may show its writes before the commit has resolved; until then reads
   * of what it touches are answered from the copies in here, so that everyone sees the old head whole.
   */
  #inFlight: Batch | undefined;

  constructor(store: KeyValueStore, entryTree: HashTree, syncTree: HashTree, state: StoredState) {
    this.#store = store;
    this.#entryTree = entryTree;
    this.#syncTree = syncTree;
    this.#state = state;
  }

  get head(): BatchHead {
    return this.#state.head;
  }

  get size(): number {
    return this.#state.size;
  }

  get mac(): Uint8Array | undefined {
    return this.#state.mac;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    checkLength(key, KEY_SIZE, 'dictionary key');
    const index = bucketOf(key);
    const entry = findEntry(this.#bucket(index), key);
    if (entry === undefined) return undefined;
    const value = this.#value(index, key);
    if (value === undefined || !equalBytes(valueHash(key, value), entry.valueHash)) {
      throw refused('A stored record does not match the root.');
    }
    return value;
  }

  prepare(changes: readonly DictionaryChange[], sequenceFloor = 0): PreparedBatch {
    const copies = changes.map(copyChange);
    const byBucket = new Map<number, Map<string, BucketEntry>>();
    for (const { key, value, syncHash } of copies) {
      const index = bucketOf(key);
      const entries = byBucket.get(index) ?? new Map<string, BucketEntry>();
      entries.set(bytesToHex(key), { key, valueHash: valueHash(key, value), syncHash });
      byBucket.set(index, entries);
    }
    const oldBuckets = new Map<number, Uint8Array>();
    const newBuckets = new Map<number, Uint8Array>();
    const entryLeaves = new Map<number, Uint8Array>();
    const syncLeaves = new Map<number, Uint8Array>();
    let size = this.#state.size;
    for (const [index, entries] of byBucket) {
      const before = this.#bucket(index);
      const after = mergeEntries(before, [...entries.values()]);
      oldBuckets.set(index, before);
      newBuckets.set(index, after);
      entryLeaves.set(index, bucketHash(after));
      syncLeaves.set(index, syncBucketHash(after));
      size += (after.length - before.length) / ENTRY_SIZE;
    }
    const entryChanges = this.#entryTree.changesFor(entryLeaves);
    const syncChanges = this.#syncTree.changesFor(syncLeaves);
    const root = rootOf(size, this.#entryTree.rootWith(entryChanges), this.#syncTree.rootWith(syncChanges));
    const head = { sequence: Math.max(this.head.sequence, sequenceFloor) + 1, parent: this.head.root, root };
    return new Batch(this, head, copies, size, newBuckets, oldBuckets, entryChanges, syncChanges);
  }

  async commit(batch: PreparedBatch, mac: Uint8Array): Promise<void> {
    if (!(batch instanceof Batch) || batch.owner !== this) throw misuse('The batch belongs to another dictionary.');
    if (this.#inFlight !== undefined) throw misuse('Another commit is under way. Wait for it, then prepare again.');
    const onHead = batch.head.sequence > this.head.sequence && batch.head.parent === this.head.root;
    if (!onHead) throw misuse('The batch was prepared on an older head. Prepare again.');
    const state = { head: batch.head, size: batch.size, mac: new Uint8Array(mac) };
    const writes: Write[] = [{ table: 'meta', key: HEAD_KEY, value: encodeHead(state) }];
    for (const [index, bucket] of batch.newBuckets) {
      writes.push({ table: 'bucket', key: bucketKey(index), value: bucket });
    }
    for (const { key, value } of batch.changes) {
      const stored = recordKey(bucketOf(key), key);
      batch.oldValues.set(bytesToHex(key), this.#store.get('record', stored));
      writes.push({ table: 'record', key: stored, value });
    }
    this.#inFlight = batch;
    try {
      await this.#store.commit(writes);
      this.#entryTree.apply(batch.entryChanges);
      this.#syncTree.apply(batch.syncChanges);
      this.#state = state;
    } finally {
      this.#inFlight = undefined;
    }
  }

  syncRoot(): Uint8Array {
    return this.#syncTree.root();
  }

  syncChildren(prefix: Uint8Array): Uint8Array[] {
    if (prefix.length === 0) return this.#syncTree.groups();
    if (prefix.length === 1) return this.#syncTree.leavesOf(prefix[0]!);
    if (prefix.length >= HASH_SIZE) throw new HoldfastError('malformed', 'sync prefix is longer than 31 bytes');
    return partHashes(this.#bucket(prefix[0]! * 256 + prefix[1]!), prefix);
  }

  syncBucket(prefix: Uint8Array): { key: Uint8Array; syncHash: Uint8Array }[] {
    if (prefix.length < 2 || prefix.length > HASH_SIZE) {
      throw new HoldfastError('malformed', 'sync bucket prefix has not 2 to 32 bytes');
    }
    const entries = entriesOf(partOf(this.#bucket(prefix[0]! * 256 + prefix[1]!), prefix));
    return entries.map(({ key, syncHash }) => ({ key: key.slice(), syncHash: syncHash.slice() }));
  }

  crowd(key: Uint8Array): number {
    checkLength(key, KEY_SIZE, 'key');
    return this.#bucket(bucketOf(key)).length / ENTRY_SIZE;
  }

  syncHash(key: Uint8Array): Uint8Array | undefined {
    checkLength(key, KEY_SIZE, 'key');
    return findEntry(this.#bucket(bucketOf(key)), key)?.syncHash.slice();
  }

  *keys(): Iterable<Uint8Array> {
    for (const index of this.#entryTree.occupied()) {
      for (const { key } of entriesOf(this.#bucket(index))) yield key.slice();
    }
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  /** A bucket's content, checked against the tree. */
  #bucket(index: number): Uint8Array {
    const expected = this.#entryTree.leaf(index);
    const held = this.#inFlight?.oldBuckets.get(index);
    if (held !== undefined) return held;
    // An empty bucket needs no look at the disk: the tree already says that nothing is there.
    if (equalBytes(expected, EMPTY_LEAF)) return EMPTY_BUCKET;
    const bucket = this.#store.get('bucket', bucketKey(index));
    if (bucket === undefined || !equalBytes(bucketHash(bucket), expected)) {
      throw refused('A stored bucket does not match the root.');
    }
    return bucket;
  }

  #value(index: number, key: Uint8Array): Uint8Array | undefined {
    if (this.#inFlight !== undefined) {
      const hex = bytesToHex(key);
      if (this.#inFlight.oldValues.has(hex)) return this.#inFlight.oldValues.get(hex)?.slice();
    }
    return this.#store.get('record', recordKey(index, key));
  }
}

/** The caller may do with its buffers what it likes once `prepare` has returned. */
function copyChange({ key, value, syncHash }: DictionaryChange): DictionaryChange {
  checkLength(key, KEY_SIZE, 'dictionary key');
  checkLength(syncHash, HASH_SIZE, 'sync digest');
  return { key: new Uint8Array(key), value: new Uint8Array(value), syncHash: new Uint8Array(syncHash) };
}

function encodeHead({ head, size, mac }: StoredState): Uint8Array {
  const encoded = headMessage.encode({ ...head, size, mac: mac! });
  return storedHead.encode({ head: encoded, digest: hashHead(encoded) });
}

function readHead(store: KeyValueStore): StoredState {
  const stored = store.get('meta', HEAD_KEY);
  if (stored === undefined) {
    return { head: { sequence: 0, parent: emptyRoot, root: emptyRoot }, size: 0, mac: undefined };
  }
  try {
    const { head: encoded, digest } = storedHead.decode(stored);
    if (!equalBytes(hashHead(encoded), digest)) throw refused('The stored head is damaged.');
    const { sequence, parent, root, size, mac } = headMessage.decode(encoded);
    return { head: { sequence, parent, root }, size, mac };
  } catch (cause) {
    throw refused('The stored head cannot be read.', cause);
  }
}

/** Buckets that are read before the store gives back what they took: with a million records 6 MB, and as much as lies between. */
const READ_AT_A_TIME = 2048;

/**
 * Opens the dictionary in `store`: reads every bucket, rebuilds both trees and compares the root with the stored head.
 * About 1 second and 100 MB read with 1,000,000 entries; 4.5 MB stay in memory, whatever the number of entries. Whether
 * the head is the one that the token anchors is for the caller to judge, by `head` and `mac`.
 * @throws HoldfastError `store_refused` where content and head disagree; `wipeStore` then allows a new start.
 */
export async function openDictionary(store: KeyValueStore): Promise<AuthenticatedDictionary> {
  const state = readHead(store);
  const entryTree = new HashTree(ENTRY_TREE);
  const syncTree = new HashTree(SYNC_TREE);
  let size = 0;
  let last: Uint8Array | undefined;
  let part: number;
  do {
    part = 0;
    for (const [key, bucket] of store.entries('bucket', last)) {
      if (key.length !== 2) throw refused('The store holds a bucket that does not belong there.');
      checkShape(bucket);
      const index = key[0]! * 256 + key[1]!;
      entryTree.setLeaf(index, bucketHash(bucket));
      syncTree.setLeaf(index, syncBucketHash(bucket));
      size += bucket.length / ENTRY_SIZE;
      last = key;
      if (++part === READ_AT_A_TIME) break;
    }
    // A node would otherwise keep the whole of what it reads now, and need a small part of it.
    await store.release?.(part === READ_AT_A_TIME);
  } while (part === READ_AT_A_TIME);
  entryTree.rebuild();
  syncTree.rebuild();
  const root = rootOf(size, entryTree.root(), syncTree.root());
  if (size !== state.size || !equalBytes(root, state.head.root)) {
    throw refused('The content of the store does not match its head.');
  }
  return new Dictionary(store, entryTree, syncTree, state);
}

/** Writes of one commit while wiping: bounds memory. */
const WIPE_BATCH = 10_000;

/**
 * Deletes everything in `store`. The head goes first and the buckets last, so that a store whose wiping was cut short
 * is refused when opened, and wiped again, instead of passing for an empty one.
 */
export async function wipeStore(store: KeyValueStore): Promise<void> {
  for (const table of ['meta', 'record', 'bucket'] as const) {
    for (let keys = firstKeys(store, table); keys.length > 0; keys = firstKeys(store, table)) {
      await store.commit(keys.map((key) => ({ table, key, value: undefined })));
    }
  }
}

function firstKeys(store: KeyValueStore, table: Table): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (const [key] of store.entries(table)) {
    keys.push(key);
    if (keys.length === WIPE_BATCH) break;
  }
  return keys;
}
