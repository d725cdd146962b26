/** Measures a state store and fills one with synthetic records, for the bench. Figures, no pass or fail. */

import { randomBytes } from 'node:crypto';
import { sha256, utf8 } from '../core/index.ts';
import { bucketOf } from './bucket.ts';
import type { AuthenticatedDictionary, DictionaryChange } from './dictionary-types.ts';
import type { KeyValueStore } from './port.ts';

export interface StoreFigures {
  /** Durable commits per second, one at a time, each of 10 values of 600 bytes. */
  readonly commitsPerSecond: number;
  /** Milliseconds: median and 99th percentile of those commits. */
  readonly commitMedian: number;
  readonly commitP99: number;
  /** Microseconds: median and 99th percentile of reading one 600-byte value. */
  readonly readMedian: number;
  readonly readP99: number;
}

const quantile = (sorted: readonly number[], q: number) => sorted[Math.floor(sorted.length * q)] ?? Number.NaN;

/** Keys begin so; table `meta` holds nothing else that the dictionary's root covers. */
const PROBE = utf8('measure/');

/**
 * Times `commits` durable commits and ten times as many reads on an open store, then removes what it wrote. Writes beside
 * a dictionary that uses the same store, and harms nothing there.
 */
export async function measureStore(store: KeyValueStore, commits = 100): Promise<StoreFigures> {
  const valuesPerCommit = 10;
  const keyOf = (i: number) => new Uint8Array([...PROBE, ...sha256(utf8(String(i)))]);
  const commitTimes: number[] = [];
  const readTimes: number[] = [];
  for (let round = 0; round < commits; round++) {
    const writes = Array.from({ length: valuesPerCommit }, (_, i) => ({
      table: 'meta' as const,
      key: keyOf(round * valuesPerCommit + i),
      value: new Uint8Array(randomBytes(600)),
    }));
    const start = performance.now();
    await store.commit(writes);
    commitTimes.push(performance.now() - start);
  }
  const total = commits * valuesPerCommit;
  for (let i = 0; i < total; i++) {
    const key = keyOf((i * 7919) % total);
    const start = performance.now();
    store.get('meta', key);
    readTimes.push((performance.now() - start) * 1000);
  }
  await store.commit(Array.from({ length: total }, (_, i) => ({ table: 'meta', key: keyOf(i), value: undefined })));
  const elapsed = commitTimes.reduce((sum, time) => sum + time, 0);
  commitTimes.sort((a, b) => a - b);
  readTimes.sort((a, b) => a - b);
  return {
    commitsPerSecond: (commits / elapsed) * 1000,
    commitMedian: quantile(commitTimes, 0.5),
    commitP99: quantile(commitTimes, 0.99),
    readMedian: quantile(readTimes, 0.5),
    readP99: quantile(readTimes, 0.99),
  };
}

export interface FillOptions {
  /** Bytes of each value; 600 unless told. */
  readonly valueSize?: number;
  /** Records per durable batch; 5000 unless told. */
  readonly batchSize?: number;
  /** Number of the first synthetic record; 0 unless told. */
  readonly first?: number;
  /** MAC to store beside each head; 32 zero bytes unless told. */
  readonly macOf?: (root: Uint8Array) => Uint8Array | Promise<Uint8Array>;
}

/** The key of synthetic record number `index`: known, so that a bench can read what a fill wrote. */
export function syntheticKey(index: number): Uint8Array {
  return sha256(utf8(`holdfast synthetic record ${index}`));
}

/** The numbers 0 to `count - 1` in the order of their keys' buckets, so that a batch fills few buckets, each whole. */
function byBucket(first: number, count: number): Uint32Array {
  const order = new Float64Array(count);
  for (let i = 0; i < count; i++) order[i] = bucketOf(syntheticKey(first + i)) * 2 ** 32 + i;
  return Uint32Array.from(order.sort(), (packed) => packed % 2 ** 32);
}

/** Adds `count` synthetic records through the ordinary prepare and commit. */
export async function fillDictionary(
  dictionary: AuthenticatedDictionary,
  count: number,
  options: FillOptions = {},
): Promise<void> {
  const { valueSize = 600, batchSize = 5000, first = 0, macOf = () => new Uint8Array(32) } = options;
  const order = byBucket(first, count);
  const filler = randomBytes(valueSize);
  for (let done = 0; done < count; done += batchSize) {
    const changes: DictionaryChange[] = Array.from(order.subarray(done, done + batchSize), (number) => {
      const key = syntheticKey(first + number);
      const value = new Uint8Array(filler);
      value.set(key.subarray(0, Math.min(32, valueSize)));
      return { key, value, syncHash: sha256(value) };
    });
    const batch = dictionary.prepare(changes);
    await dictionary.commit(batch, await macOf(batch.head.root));
  }
}
