import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, test } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { openLmdbStore } from '../../src/store/index.ts';
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
