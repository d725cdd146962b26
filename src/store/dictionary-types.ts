/** What the authenticated dictionary offers to the node; `dictionary.ts` implements it over a `KeyValueStore`. */

/** One link of the chain that ties store and anchor: what the token's anchor object holds, and the store's newest batch. */
export interface BatchHead {
  /** 1 for the first batch. */
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
  /** Computes the head that committing `changes` would give, changing nothing. */
  prepare(changes: readonly DictionaryChange[]): PreparedBatch;
  /** Durable, atomic; `mac` is stored beside the head. The batch must have been prepared on the current head. */
  commit(batch: PreparedBatch, mac: Uint8Array): Promise<void>;
  /** The stored MAC of `head`, or undefined for an empty store. */
  readonly mac: Uint8Array | undefined;
  /** Root over all sync digests: equal on two nodes that hold the same facts. */
  syncRoot(): Uint8Array;
  /** Hashes of the 256 children of a sync tree node: prefix of 0 bytes (the top) or 1 byte; 256 × 32 bytes. */
  syncChildren(prefix: Uint8Array): Uint8Array[];
  /** Keys and sync digests in the bucket with this 2-byte prefix. */
  syncBucket(prefix: Uint8Array): { key: Uint8Array; syncHash: Uint8Array }[];
  /** All keys in order, lazily. */
  keys(): Iterable<Uint8Array>;
  close(): Promise<void>;
}

export interface PreparedBatch {
  readonly head: BatchHead;
  readonly changes: readonly DictionaryChange[];
}
