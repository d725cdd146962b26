/** What the authenticated dictionary offers to the node; `dictionary.ts` implements it over a `KeyValueStore`. */

/** One link of the chain that ties store and anchor: what the token's anchor object holds, and the store's newest batch. */
export interface BatchHead {
  /** 1 for the first batch; 0 for an empty store, whose parent and root are both the empty root. */
  readonly sequence: number;
  /** 32 bytes each: root before, root after. */
  readonly parent: Uint8Array;
  readonly root: Uint8Array;
}

export interface DictionaryChange {
  /** 32 bytes. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** 32 bytes: digest of the part of the value that nodes compare with each other (anti-entropy, repair). */
  readonly syncHash: Uint8Array;
}

export interface AuthenticatedDictionary {
  /** The newest committed batch, as stored: its root is checked against the recomputed tree when opening. */
  readonly head: BatchHead;
  /** Number of entries. */
  readonly size: number;
  /** The value, checked against the root. @throws HoldfastError `store_refused` where store and root disagree. */
  get(key: Uint8Array): Uint8Array | undefined;
  /**
   * Computes the head that committing `changes` would give, changing nothing. Its sequence is one more than the larger
   * of this head's and `sequenceFloor` (default 0): a store found behind its anchor must be numbered above that. Of several changes of one key the last
   * counts. @throws HoldfastError `malformed` for a key or digest that is not 32 bytes, `store_refused` as `get`.
   */
  prepare(changes: readonly DictionaryChange[], sequenceFloor?: number): PreparedBatch;
  /**
   * Durable, atomic; `mac` (up to 1024 bytes) is stored beside the head. Until it resolves, and if it rejects, reads and
   * `head` show the state before. @throws HoldfastError `conflict` unless the batch was prepared on the current head and
   * no other commit is under way; `unexpected` where the store could not write.
   */
  commit(batch: PreparedBatch, mac: Uint8Array): Promise<void>;
  /** The stored MAC of `head`, or undefined for an empty store. */
  readonly mac: Uint8Array | undefined;
  /** Root over all sync digests: equal on two nodes that hold the same facts. */
  syncRoot(): Uint8Array;
  /**
   * Hashes of the 256 children of a sync tree node, 256 × 32 bytes: prefix of 0 bytes (the top) to 31. From 2 bytes on they
   * are made when asked for, out of one bucket.
   */
  syncChildren(prefix: Uint8Array): Uint8Array[];
  /** Keys and sync digests in the bucket with this 2-byte prefix, or in that part of it which a longer one names. */
  syncBucket(prefix: Uint8Array): { key: Uint8Array; syncHash: Uint8Array }[];
  /** How many entries the bucket has that this key belongs to. Every change of one of them reads and hashes them all. */
  crowd(key: Uint8Array): number;
  /** The sync digest of a key, or undefined for one that is not there. */
  syncHash(key: Uint8Array): Uint8Array | undefined;
  /** All keys, lazily, each once, in the order of their buckets (not of the keys). Commits meanwhile may be missed. */
  keys(): Iterable<Uint8Array>;
  close(): Promise<void>;
}

export interface PreparedBatch {
  readonly head: BatchHead;
  readonly changes: readonly DictionaryChange[];
}
