/** The state store: a durable key-value store and, over it, the dictionary whose every answer is checked. */

export { emptyRoot, openDictionary, wipeStore } from './dictionary.ts';
export type { AuthenticatedDictionary, BatchHead, DictionaryChange, PreparedBatch } from './dictionary-types.ts';
export { openLmdbStore } from './lmdb.ts';
export * from './measure.ts';
export { type CrashPoint, MemoryKeyValueStore, type StoreImage } from './memory.ts';
export type { KeyValueStore, Table, Write } from './port.ts';
