import { expect, test } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { keyValueStoreSuite } from './suite.ts';

keyValueStoreSuite('MemoryKeyValueStore', async () => {
  const store = new MemoryKeyValueStore();
  return {
    store,
    reopen: async () => {
      await store.close();
      return store.reopen();
    },
  };
});

const put = (text: string) => [{ table: 'meta' as const, key: utf8('a'), value: utf8(text) }];

test('a failed commit applies nothing, and the next one works', async () => {
  const store = new MemoryKeyValueStore();
  store.failNextCommit();
  await expect(store.commit(put('one'))).rejects.toMatchObject({ code: 'unexpected' });
  expect(store.get('meta', utf8('a'))).toBeUndefined();
  await store.commit(put('two'));
  expect(store.get('meta', utf8('a'))).toEqual(utf8('two'));
});

test.each([
  ['before', undefined],
  ['after', utf8('one')],
] as const)('a crash %s the commit ends the handle and leaves the disk as it then is', async (point, left) => {
  const store = new MemoryKeyValueStore();
  store.crashAtNextCommit(point);
  await expect(store.commit(put('one'))).rejects.toMatchObject({ code: 'unexpected' });
  expect(store.ended).toBe(true);
  expect(() => store.get('meta', utf8('a'))).toThrow(expect.objectContaining({ code: 'unexpected' }));
  expect(store.reopen().get('meta', utf8('a'))).toEqual(left);
});

test('a handle that was superseded can no longer write', async () => {
  const old = new MemoryKeyValueStore();
  const next = old.reopen();
  await expect(old.commit(put('stale'))).rejects.toMatchObject({ code: 'unexpected' });
  expect(next.get('meta', utf8('a'))).toBeUndefined();
});

test('a snapshot stays as it was, and restoring it rolls the disk back, as often as wanted', async () => {
  const store = new MemoryKeyValueStore();
  await store.commit(put('one'));
  const image = store.snapshot();
  for (const text of ['two', 'three']) {
    await store.commit(put(text));
    expect(store.get('meta', utf8('a'))).toEqual(utf8(text));
    store.restore(image);
    expect(store.get('meta', utf8('a'))).toEqual(utf8('one'));
  }
  expect(new MemoryKeyValueStore(image).get('meta', utf8('a'))).toEqual(utf8('one'));
});
