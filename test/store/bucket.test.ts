import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesToHex, compareBytes } from '../../src/core/index.ts';
import {
  bucketHash,
  bucketOf,
  checkShape,
  entriesOf,
  findEntry,
  mergeEntries,
  partHashes,
  partOf,
  syncBucketHash,
} from '../../src/store/bucket.ts';

/** Keys that differ in their last byte only, so that they meet and order matters. */
const entry = fc.record({
  key: fc.integer({ min: 0, max: 30 }).map((last) => new Uint8Array(32).fill(last, 31)),
  valueHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  syncHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
});
const entries = fc.uniqueArray(entry, { selector: ({ key }) => key[31], maxLength: 20 });
const hex = bytesToHex;

test('merging gives the union in key order, later entries in place of earlier ones', () => {
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 5 }), (batches) => {
      const model = new Map<string, (typeof batches)[number][number]>();
      let bucket: Uint8Array = new Uint8Array(0);
      for (const batch of batches) {
        for (const item of batch) model.set(hex(item.key), item);
        bucket = mergeEntries(bucket, batch);
      }
      const expected = [...model.values()].sort((a, b) => compareBytes(a.key, b.key));
      expect(entriesOf(bucket)).toEqual(expected);
      for (let last = 0; last <= 30; last++) {
        const key = new Uint8Array(32).fill(last, 31);
        expect(findEntry(bucket, key)).toEqual(model.get(hex(key)));
      }
    }),
  );
});

test('parts of a bucket are what their prefix says, and all parts together are the bucket', () => {
  const random = fc.uniqueArray(
    fc.record({
      ...Object.fromEntries(
        ['key', 'valueHash', 'syncHash'].map((name) => [name, fc.uint8Array({ minLength: 32, maxLength: 32 })]),
      ),
    }) as typeof entry,
    { selector: ({ key }) => hex(key), minLength: 1, maxLength: 40 },
  );
  fc.assert(
    fc.property(random, (given) => {
      // Their hashes differ in the first two bytes, too: the parts of an empty prefix are by the first byte.
      const bucket = mergeEntries(new Uint8Array(0), given);
      const none = new Uint8Array(0);
      const hashes = partHashes(bucket, none);
      expect(hashes).toHaveLength(256);
      const empty = hex(syncBucketHash(none));
      expect(hashes.filter((hash) => hex(hash) !== empty).length).toBe(
        new Set(given.map(({ key }) => bucketOf(key) >> 8)).size,
      );
      for (const { key } of given) {
        const number = bucketOf(key);
        const two = Uint8Array.of(number >> 8, number & 255);
        const below = partHashes(bucket, two).flatMap((hash, third) => (hex(hash) === empty ? [] : [third]));
        const parts = below.map((third) => partOf(bucket, Uint8Array.of(...two, third)));
        for (const [index, part] of parts.entries()) {
          expect(hex(syncBucketHash(part))).toBe(hex(partHashes(bucket, two)[below[index]!]!));
        }
        const found = parts.flatMap((part) => entriesOf(part)).filter((one) => hex(one.key) === hex(key));
        expect(found).toHaveLength(1);
      }
    }),
    { numRuns: 30 },
  );
});

test('the sync hash sees keys and facts only, the bucket hash everything', () => {
  const base = { key: new Uint8Array(32), valueHash: new Uint8Array(32), syncHash: new Uint8Array(32) };
  const other = new Uint8Array(32).fill(1);
  const build = (change: object) => mergeEntries(new Uint8Array(0), [{ ...base, ...change }]);
  const hashes = (change: object) => [hex(bucketHash(build(change))), hex(syncBucketHash(build(change)))];
  const [whole, facts] = hashes({});
  expect(hashes({ valueHash: other })).toEqual([expect.not.stringMatching(whole!), facts]);
  for (const change of [{ key: other }, { syncHash: other }]) {
    expect(hashes(change)).toEqual([expect.not.stringMatching(whole!), expect.not.stringMatching(facts!)]);
  }
  expect(whole).not.toBe(facts);
});

test.each([0, 1, 95, 97])('a stored bucket of %d bytes is refused', (length) => {
  expect(() => checkShape(new Uint8Array(length))).toThrow(expect.objectContaining({ code: 'store_refused' }));
});
