import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { sha256, utf8 } from '../../src/core/index.ts';
import { fillDictionary, openDictionary, openLmdbStore, syntheticKey } from '../../src/store/index.ts';
import { residentFileBytes } from '../../src/store/mapped.ts';

const base = mkdtempSync(join(tmpdir(), 'holdfast-store-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = () => join(base, String(folders++));
const MEBIBYTE = 2 ** 20;
const keyOf = (number: number) => sha256(utf8(`key ${number}`));
const onLinux = test.runIf(process.platform === 'linux');

/** Bytes of the file that are mapped into this process and resident (Linux, proc(5)). */
function residentPages(file: string): number {
  const sections = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const own = sections.filter((section) => section.split('\n', 1)[0]!.endsWith(` ${file}`));
  return 1024 * own.reduce((sum, section) => sum + Number(/^Rss:\s+(\d+) kB$/m.exec(section)![1]), 0);
}

onLinux('what was read is given back, and the store goes on', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  const keys = Array.from({ length: 400 }, (_, i) => keyOf(i));
  const big = new Uint8Array(16_384).fill(7);
  await store.commit(keys.map((key) => ({ table: 'record' as const, key, value: big })));
  for (const key of keys) store.get('record', key);
  const before = residentPages(join(folder, 'data.mdb'));
  expect(before).toBeGreaterThan(400 * 16_384);
  const committing = store.commit([{ table: 'meta', key: utf8('late'), value: utf8('kept') }]);
  await store.release!();
  await committing;
  expect(residentPages(join(folder, 'data.mdb'))).toBeLessThan(before / 8);
  expect(store.get('record', keys[399]!)).toEqual(big);
  expect(store.get('meta', utf8('late'))).toEqual(utf8('kept'));
  await store.commit([{ table: 'meta', key: utf8('later'), value: utf8('too') }]);
  await store.close();
  const again = await openLmdbStore(folder);
  expect(again.get('meta', utf8('later'))).toEqual(utf8('too'));
  await again.close();
});

onLinux('the system says how much of files is resident', () => {
  // The program itself is one of them.
  expect(residentFileBytes()).toBeGreaterThan(10 * MEBIBYTE);
});

onLinux('however much is read, what stays of it in the process is bounded', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  const count = 8192;
  const content = (number: number) => new Uint8Array(16_300).fill(number & 255);
  for (let done = 0; done < count; done += 1024) {
    const numbers = Array.from({ length: 1024 }, (_, i) => done + i);
    await store.commit(numbers.map((number) => ({ table: 'record', key: keyOf(number), value: content(number) })));
  }
  let most = 0;
  for (let done = 0; done < count; done += 8) {
    for (let i = done; i < done + 8; i++) expect(store.get('record', keyOf(i))?.[16_299]).toBe(i & 255);
    if (done % 64 === 0) most = Math.max(most, residentPages(join(folder, 'data.mdb')));
    await setImmediate();
  }
  expect(store.size()).toBeGreaterThan(128 * MEBIBYTE);
  expect(most).toBeLessThan(80 * MEBIBYTE);
  await store.close();
});

test('whatever reads and writes while the file is mapped anew finds it as it should be', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  const keys = Array.from({ length: 50 }, (_, i) => keyOf(i));
  await store.commit(keys.map((key) => ({ table: 'record', key, value: key })));
  let released = false;
  let reads = 0;
  const look = () => {
    const key = keys[reads++ % keys.length]!;
    expect(store.get('record', key)).toEqual(key);
  };
  // Between turns of the event loop, too: what goes on in promises.
  const lookAgain = async () => {
    for (let hop = 0; hop < 20; hop++) {
      look();
      await undefined;
    }
  };
  const reading = async (turn: () => Promise<unknown>) => {
    while (!released) {
      await turn();
      await lookAgain();
    }
  };
  let written = 0;
  const writing = async () => {
    while (!released) {
      await store.commit([{ table: 'meta', key: utf8('count'), value: Uint8Array.of(++written & 255, written >> 8) }]);
      expect(store.get('meta', utf8('count'))).toEqual(Uint8Array.of(written & 255, written >> 8));
      await lookAgain();
    }
  };
  const releasing = async () => {
    // Until there was a commit beside it often enough, however slow the disk is.
    for (let i = 0; i < 100 || written <= 10; i++) {
      await store.release!();
      look();
    }
    released = true;
  };
  await Promise.all([reading(() => setImmediate()), reading(() => setTimeout(0)), writing(), releasing()]);
  expect(reads).toBeGreaterThan(1000);
  expect(written).toBeGreaterThan(10);
  await store.close();
});

test('a table that is being read stays where it is', async () => {
  const store = await openLmdbStore(newFolder());
  const keys = Array.from({ length: 300 }, (_, i) => Uint8Array.of(i >> 8, i & 255));
  await store.commit(keys.map((key) => ({ table: 'bucket', key, value: key })));
  const found: Uint8Array[] = [];
  for (const [key] of store.entries('bucket')) {
    found.push(key);
    if (found.length % 100 === 0) await store.release!();
  }
  expect(found).toEqual(keys);
  await store.release!();
  expect(store.get('bucket', keys[299]!)).toEqual(keys[299]);
  await store.close();
});

test('a dictionary of many buckets is read in parts, and is the same', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  const dictionary = await openDictionary(store);
  await fillDictionary(dictionary, 3000, { valueSize: 40 });
  const { head } = dictionary;
  const root = dictionary.syncRoot();
  await dictionary.close();
  const reopened = await openLmdbStore(folder);
  const parts: (boolean | undefined)[] = [];
  const release = reopened.release!.bind(reopened);
  reopened.release = (readingOn) => {
    parts.push(readingOn);
    return release(readingOn);
  };
  const again = await openDictionary(reopened);
  expect([again.head, again.size, again.syncRoot()]).toEqual([head, 3000, root]);
  // They fill more than 2,048 and less than 4,096 of the 65,536 buckets.
  expect(parts).toEqual([true, false]);
  for (let i = 0; i < 3000; i += 100) expect(again.get(syntheticKey(i))).toHaveLength(40);
  await again.close();
});
