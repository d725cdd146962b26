/**
 * The durable key-value store beneath the authenticated dictionary. Two implementations pass one suite: LMDB, and
 * memory with injectable faults. What is read from it is untrusted until checked against the anchored root.
 */

/** Tables are separate key spaces. These are a node's; other roles name their own. */
export type Table = 'record' | 'bucket' | 'meta';

export interface Write<T extends string = Table> {
  readonly table: T;
  readonly key: Uint8Array;
  /** Undefined deletes. */
  readonly value: Uint8Array | undefined;
}

export interface KeyValueStore<T extends string = Table> {
  /**
   * A copy of the stored value, or undefined. Reads see exactly the committed writes; those of a commit that has not
   * resolved yet are seen all or not at all. About 2 microseconds.
   */
  get(table: T, key: Uint8Array): Uint8Array | undefined;
  /** Every entry of a table in key order, or those whose keys come after `after`; lazily. */
  entries(table: T, after?: Uint8Array): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
  /**
   * Applies all writes or none, and resolves once they are on stable storage.
   * Rejects with `unexpected` (disk full, I/O error) when nothing was applied; details say what to do.
   */
  commit(writes: readonly Write<T>[]): Promise<void>;
  /**
   * Gives back the memory that reads have taken, as a store also does by itself once it is much; `readingOn` says that
   * entries will be read on in their order. A table that is being read meanwhile keeps it. Absent where there is nothing
   * to give back.
   */
  release?(readingOn?: boolean): Promise<void>;
  /** Bytes used on disk or in memory, roughly. */
  size(): number;
  close(): Promise<void>;
}

export type * from './dictionary-types.ts';
