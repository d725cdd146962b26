/**
 * What a log keeps in its store: entries, the index of their hashes, hash tiles, and the two small records that make an
 * append survive a crash. The store is the truth; the static files of `tile-files.ts` are made from it.
 */

import { codec, type Infer, utf8 } from '../../core/index.ts';
import type { KeyValueStore, Write } from '../../store/port.ts';

const { fixed, message, optional, struct, text, uint } = codec;

/**
 * `entry`: leaves by index. `index`: the index by leaf hash. `tile`: hashes by level and tile index, partial tiles
 * included, always as of the head. `state`: the records below. `view`: rows that the log's owner derives from leaves.
 */
export const LOG_TABLES = ['entry', 'index', 'tile', 'state', 'view'] as const;
export type LogTable = (typeof LOG_TABLES)[number];
export type LogStore = KeyValueStore<LogTable>;
export type LogWrite = Write<LogTable>;

const MAXIMUM_NOTE = 65_535;

const HEAD = message('holdfast/log-head/v1', {
  size: uint,
  root: fixed(32),
  /** The signed checkpoint of exactly this size and root; nobody's cosignatures. */
  checkpoint: text(MAXIMUM_NOTE),
  /** Text of the roster that is the last leaf. */
  rosterText: text(MAXIMUM_NOTE),
});
/** The newest batch that is in the log. */
export type LogHead = Infer<typeof HEAD>;

const INTENT = message('holdfast/log-intent/v1', {
  /** The head that this batch comes after: what is compared before it is swapped. */
  size: uint,
  root: fixed(32),
  /** Milliseconds since 1970 at which the batch was put together. */
  time: uint,
  /** Entries of the batch without its roster. Zero in a log's first batch. */
  count: uint,
  rosterText: text(MAXIMUM_NOTE),
  /** Present once the roster is signed and stored: from then on, what the checkpoint says is fixed. */
  sealed: optional(struct({ root: fixed(32), checkpointText: text(1024) })),
});
/** A batch that has been stored and will be finished, whatever crashes, before anything else is appended. */
export type LogIntent = Infer<typeof INTENT>;

const COSIGNED = message('holdfast/log-cosigned/v1', { size: uint, note: text(MAXIMUM_NOTE), quorum: uint });
/** A checkpoint with the cosignatures that witnesses gave; `quorum` is 1 where they are enough for the policy. */
export type CosignedCheckpoint = Infer<typeof COSIGNED>;

const INDEX = 8;

/** 8 bytes, big-endian. */
export function indexKey(index: number): Uint8Array {
  const key = new Uint8Array(INDEX);
  new DataView(key.buffer).setBigUint64(0, BigInt(index));
  return key;
}

function indexOfKey(key: Uint8Array): number {
  return Number(new DataView(key.buffer, key.byteOffset, INDEX).getBigUint64(0));
}

function tileKey(level: number, tile: number): Uint8Array {
  const key = new Uint8Array(1 + INDEX);
  key[0] = level;
  new DataView(key.buffer).setBigUint64(1, BigInt(tile));
  return key;
}

const KEYS = {
  head: utf8('head'),
  intent: utf8('intent'),
  newest: utf8('cosigned/newest'),
  quorum: utf8('cosigned/quorum'),
};

/** The rows of a log, typed. */
export const rows = {
  entry: (index: number, leaf: Uint8Array): LogWrite => ({ table: 'entry', key: indexKey(index), value: leaf }),
  index: (hash: Uint8Array, index: number): LogWrite => ({ table: 'index', key: hash, value: indexKey(index) }),
  tile: (level: number, tile: number, hashes: Uint8Array): LogWrite => ({
    table: 'tile',
    key: tileKey(level, tile),
    value: hashes,
  }),
  head: (head: LogHead): LogWrite => ({ table: 'state', key: KEYS.head, value: HEAD.encode(head) }),
  intent: (intent: LogIntent | undefined): LogWrite => ({
    table: 'state',
    key: KEYS.intent,
    value: intent && INTENT.encode(intent),
  }),
  cosigned: (which: 'newest' | 'quorum', checkpoint: CosignedCheckpoint): LogWrite => ({
    table: 'state',
    key: KEYS[which],
    value: COSIGNED.encode(checkpoint),
  }),
};

/** Reads of the same rows. Each throws what the store throws, or `malformed` for a row that nothing here wrote. */
export function readRows(store: LogStore) {
  const decoded = <T>(key: Uint8Array, decode: (row: Uint8Array) => T): T | undefined => {
    const row = store.get('state', key);
    return row && decode(row);
  };
  return {
    entry: (index: number): Uint8Array | undefined => store.get('entry', indexKey(index)),
    index: (hash: Uint8Array): number | undefined => {
      const row = store.get('index', hash);
      return row && indexOfKey(row);
    },
    tile: (level: number, tile: number): Uint8Array | undefined => store.get('tile', tileKey(level, tile)),
    head: (): LogHead | undefined => decoded(KEYS.head, HEAD.decode),
    intent: (): LogIntent | undefined => decoded(KEYS.intent, INTENT.decode),
    cosigned: (which: 'newest' | 'quorum'): CosignedCheckpoint | undefined => decoded(KEYS[which], COSIGNED.decode),
  };
}
export type LogRows = ReturnType<typeof readRows>;
