import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, test } from 'vitest';
import { sha256, utf8 } from '../../src/core/index.ts';
import { fillDictionary, measureStore, openDictionary, openLmdbStore, syntheticKey } from '../../src/store/index.ts';
import { keyValueStoreSuite } from './suite.ts';

const base = mkdtempSync(join(tmpdir(), 'holdfast-store-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let folders = 0;
const newFolder = () => join(base, String(folders++));
const child = join(import.meta.dirname, 'lmdb-child.ts');

keyValueStoreSuite('LmdbKeyValueStore', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  return {
    store,
    reopen: async () => {
      await store.close();
      return openLmdbStore(folder);
    },
  };
});

/** Starts a writer and waits for its line number `lines`. */
async function startWriter(folder: string, lines: number): Promise<{ writer: ChildProcess; last: () => number }> {
  const writer = spawn(process.execPath, [child, 'write', folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  let last = -1;
  const reader = createInterface({ input: writer.stdout! });
  const enough = new Promise<void>((resolve) => {
    reader.on('line', (line) => {
      last = Number(line);
      if (last >= lines) resolve();
    });
  });
  await enough;
  return { writer, last: () => last };
}

async function kill(writer: ChildProcess): Promise<void> {
  const closed = once(writer, 'close');
  writer.kill('SIGKILL');
  await closed;
}

test('only the owner can read the files', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  for (const file of readdirSync(folder))
    expect([file, statSync(join(folder, file)).mode & 0o777]).toEqual([file, 0o600]);
  await store.close();
});

test('a folder in use is refused, to this process and to others, until it is closed', async () => {
  const folder = newFolder();
  const store = await openLmdbStore(folder);
  await expect(openLmdbStore(folder)).rejects.toMatchObject({ code: 'not_ready', details: { folder } });
  await store.commit([{ table: 'meta', key: utf8('a'), value: utf8('still works') }]);
  await store.close();
  const { writer } = await startWriter(folder, 0);
  await expect(openLmdbStore(folder)).rejects.toMatchObject({ code: 'not_ready' });
  await kill(writer);
  const again = await openLmdbStore(folder);
  expect(again.get('meta', utf8('a'))).toEqual(utf8('still works'));
  await again.close();
});

test('a killed writer leaves every commit that it reported, and no half commit', async () => {
  const folder = newFolder();
  for (let round = 0; round < 3; round++) {
    const { writer, last } = await startWriter(folder, 20);
    await kill(writer);
    const store = await openLmdbStore(folder);
    const stored = Number(Buffer.from(store.get('meta', utf8('last'))!).toString());
    expect(stored).toBeGreaterThanOrEqual(last());
    for (let i = 0; i <= stored; i++) {
      expect(store.get('record', utf8(String(i)))).toEqual(new Uint8Array(3000).fill(i & 255));
    }
    await store.close();
  }
});

test('a full disk rejects the commit, applies none of it, and leaves the store in use', async () => {
  const folder = newFolder();
  // The limit of 4096 blocks on the size of files stands for a disk of that size; `sh` counts 512 or 1024 bytes each.
  const limited = spawn('sh', ['-c', 'ulimit -f 4096; exec "$@"', 'sh', process.execPath, child, 'fill', folder], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let output = '';
  limited.stdout!.on('data', (data) => {
    output += data;
  });
  const [code] = await once(limited, 'close');
  expect(code).toBe(0);
  const [error, counts, again, deleted] = output.trim().split('\n');
  expect(JSON.parse(error!)).toMatchObject({ code: 'unexpected', details: { applied: false } });
  const { committed, stored } = JSON.parse(counts!);
  expect(committed).toBeGreaterThan(5);
  expect(stored).toBe(committed);
  expect(again).toBe('unexpected');
  expect(deleted).toBe('deleted');
  const store = await openLmdbStore(folder);
  expect([...store.entries('record')]).toHaveLength(stored - 1);
  await store.close();
});

test('a folder that cannot be made is reported, not thrown raw', async () => {
  await expect(openLmdbStore('/dev/null/store')).rejects.toMatchObject({ name: 'HoldfastError', code: 'unexpected' });
});

test('a dictionary answers from the old head while LMDB commits, and from the new one after reopening', async () => {
  const folder = newFolder();
  const dictionary = await openDictionary(await openLmdbStore(folder));
  const keys = Array.from({ length: 50 }, (_, i) => sha256(utf8(String(i))));
  const round = (text: string) =>
    dictionary.prepare(keys.map((key) => ({ key, value: utf8(text), syncHash: sha256(utf8(text)) })));
  await dictionary.commit(round('round 0'), new Uint8Array(32));
  for (let i = 1; i <= 5; i++) {
    let done = false;
    const commit = dictionary.commit(round(`round ${i}`), new Uint8Array(32)).finally(() => {
      done = true;
    });
    let looks = 0;
    while (!done) {
      for (const key of keys) expect(dictionary.get(key)).toEqual(utf8(`round ${i - 1}`));
      looks++;
      await new Promise(setImmediate);
    }
    await commit;
    expect(looks).toBeGreaterThan(0);
    for (const key of keys) expect(dictionary.get(key)).toEqual(utf8(`round ${i}`));
  }
  const { head } = dictionary;
  await dictionary.close();
  const again = await openDictionary(await openLmdbStore(folder));
  expect(again.head).toEqual(head);
  for (const key of keys) expect(again.get(key)).toEqual(utf8('round 5'));
  await again.close();
});

test('synthetic records can be read back, and measuring beside them changes nothing', async () => {
  const store = await openLmdbStore(newFolder());
  const dictionary = await openDictionary(store);
  await fillDictionary(dictionary, 70, { valueSize: 100, batchSize: 30 });
  await fillDictionary(dictionary, 30, { valueSize: 100, first: 70 });
  const before = dictionary.head;
  expect(before.sequence).toBe(4);
  const figures = await measureStore(store, 5);
  expect(figures.commitsPerSecond).toBeGreaterThan(0);
  expect(figures.readMedian).toBeGreaterThan(0);
  expect([...store.entries('meta')]).toHaveLength(1);
  const again = await openDictionary(store);
  expect(again.head).toEqual(before);
  expect(again.size).toBe(100);
  for (let i = 0; i < 100; i++) expect(again.get(syntheticKey(i))).toHaveLength(100);
  await dictionary.close();
});
