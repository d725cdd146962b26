/** The behaviour that every key-value store must show; each implementation's test file runs it. */

import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import type { KeyValueStore, Table } from '../../src/store/index.ts';

export interface StoreUnderTest {
  readonly store: KeyValueStore;
  /** Closes the store and opens the same disk again. */
  reopen(): Promise<KeyValueStore>;
}

const bytes = (...values: number[]) => Uint8Array.from(values);

export function list(store: KeyValueStore, table: Table): [string, string][] {
  return [...store.entries(table)].map(([key, value]) => [
    Buffer.from(key).toString('hex'),
    Buffer.from(value).toString('hex'),
  ]);
}

export function keyValueStoreSuite(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    test('gives what was committed and undefined for what was not', async () => {
      const { store } = await create();
      await store.commit([{ table: 'record', key: utf8('a'), value: utf8('one') }]);
      expect(store.get('record', utf8('a'))).toEqual(utf8('one'));
      expect(store.get('record', utf8('b'))).toBeUndefined();
      await store.close();
    });

    test('keeps tables apart', async () => {
      const { store } = await create();
      await store.commit([
        { table: 'record', key: utf8('a'), value: utf8('r') },
        { table: 'bucket', key: utf8('a'), value: utf8('b') },
        { table: 'meta', key: utf8('a'), value: utf8('m') },
      ]);
      await store.commit([{ table: 'bucket', key: utf8('a'), value: undefined }]);
      expect(store.get('record', utf8('a'))).toEqual(utf8('r'));
      expect(store.get('bucket', utf8('a'))).toBeUndefined();
      expect(store.get('meta', utf8('a'))).toEqual(utf8('m'));
      await store.close();
    });

    test('overwrites, deletes, and deletes what is not there', async () => {
      const { store } = await create();
      await store.commit([{ table: 'record', key: utf8('a'), value: utf8('one') }]);
      await store.commit([
        { table: 'record', key: utf8('a'), value: utf8('two') },
        { table: 'record', key: utf8('missing'), value: undefined },
      ]);
      expect(store.get('record', utf8('a'))).toEqual(utf8('two'));
      await store.commit([{ table: 'record', key: utf8('a'), value: undefined }]);
      expect(list(store, 'record')).toEqual([]);
      await store.close();
    });

    test('applies the writes of one commit in their order', async () => {
      const { store } = await create();
      await store.commit([
        { table: 'meta', key: utf8('a'), value: utf8('one') },
        { table: 'meta', key: utf8('a'), value: undefined },
        { table: 'meta', key: utf8('a'), value: utf8('two') },
      ]);
      expect(store.get('meta', utf8('a'))).toEqual(utf8('two'));
      await store.close();
    });

    test('lists a table in key order, with keys and values of any bytes', async () => {
      const { store } = await create();
      const keys = [bytes(255, 255), bytes(0), bytes(0, 0), bytes(1), bytes(255), bytes(0, 1)];
      await store.commit(keys.map((key, i) => ({ table: 'bucket', key, value: bytes(i, 0, 255) })));
      expect(list(store, 'bucket').map(([key]) => key)).toEqual(['00', '0000', '0001', '01', 'ff', 'ffff']);
      await store.close();
    });

    test('lists what comes after a key, be that there or not', async () => {
      const { store } = await create();
      const keys = [bytes(0), bytes(0, 0), bytes(0, 1), bytes(1), bytes(255)];
      await store.commit(keys.map((key) => ({ table: 'bucket', key, value: bytes(1) })));
      const keysAfter = (key: Uint8Array) => [...store.entries('bucket', key)].map(([found]) => [...found]);
      expect(keysAfter(bytes(0))).toEqual([[0, 0], [0, 1], [1], [255]]);
      expect(keysAfter(bytes(0, 1, 5))).toEqual([[1], [255]]);
      expect(keysAfter(bytes(255))).toEqual([]);
      await store.close();
    });

    test('keeps empty and large values', async () => {
      const { store } = await create();
      const large = new Uint8Array(300_000).fill(7);
      await store.commit([
        { table: 'record', key: utf8('empty'), value: new Uint8Array(0) },
        { table: 'record', key: utf8('large'), value: large },
      ]);
      expect(store.get('record', utf8('empty'))).toEqual(new Uint8Array(0));
      expect(Buffer.from(store.get('record', utf8('large'))!).equals(large)).toBe(true);
      await store.close();
    });

    test('gives copies: what a caller does to them or to its own buffers afterwards changes nothing', async () => {
      const { store } = await create();
      const mine = utf8('mine');
      await store.commit([{ table: 'record', key: utf8('a'), value: mine }]);
      mine.fill(0);
      store.get('record', utf8('a'))!.fill(0);
      for (const [key, value] of store.entries('record')) {
        key.fill(0);
        value.fill(0);
      }
      expect(store.get('record', utf8('a'))).toEqual(utf8('mine'));
      await store.close();
    });

    test('commits that overlap are applied in their order', async () => {
      const { store } = await create();
      await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.commit([{ table: 'meta', key: utf8('last'), value: bytes(i) }])),
      );
      expect(store.get('meta', utf8('last'))).toEqual(bytes(19));
      await store.close();
    });

    test('an empty commit resolves and changes nothing', async () => {
      const { store } = await create();
      await store.commit([]);
      expect([list(store, 'record'), list(store, 'bucket'), list(store, 'meta')]).toEqual([[], [], []]);
      await store.close();
    });

    test('is the same after closing and opening again', async () => {
      const { store, reopen } = await create();
      const writes = Array.from({ length: 500 }, (_, i) => ({
        table: 'record' as const,
        key: bytes(i >> 8, i & 255),
        value: new Uint8Array(i * 10).fill(i & 255),
      }));
      await store.commit(writes);
      const before = list(store, 'record');
      const again = await reopen();
      expect(list(again, 'record')).toEqual(before);
      expect(before).toHaveLength(500);
      expect(again.size()).toBeGreaterThan(1_000_000);
      await again.close();
    });

    test('refuses every use after it was closed', async () => {
      const { store } = await create();
      await store.close();
      expect(() => store.get('meta', utf8('a'))).toThrow(expect.objectContaining({ code: 'unexpected' }));
      expect(() => [...store.entries('meta')]).toThrow(expect.objectContaining({ code: 'unexpected' }));
      await expect(store.commit([{ table: 'meta', key: utf8('a'), value: utf8('b') }])).rejects.toMatchObject({
        code: 'unexpected',
      });
    });
  });
}
