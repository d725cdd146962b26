import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bytesToHex, fromUtf8, utf8 } from '../../src/core/index.ts';
import { LOG_TABLES, type LogTable, readRows } from '../../src/cosigner/log/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { hashEntry, parseCheckpoint, parseNote, verifyConsistency, verifyInclusion } from '../../src/trust/index.ts';
import { LogBench, naiveRoot, ORIGIN } from './log-fixture.ts';

const leaf = (i: number) => utf8(`test/leaf\n${i}\n`);
const failure = (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  );

test('a new log has one leaf, a roster, and a published checkpoint of it', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  expect(log.head.size).toBe(1);
  expect(fromUtf8(log.entry(0)!)).toMatch(/^test\/roster\n1\n0\n\n— log\.example\/roster /);
  expect(bench.files()).toEqual(['.published', 'latest-checkpoint', 'tile/0/000.p/1', 'tile/entries/000.p/1']);
  const { text } = parseNote(log.head.checkpoint);
  expect(parseCheckpoint(text)).toMatchObject({ origin: ORIGIN, size: 1 });
  await log.close();
});

test('an empty store is refused unless a log shall be made', async () => {
  const bench = new LogBench();
  bench.create = false;
  expect(await failure(bench.open())).toBe('store_refused');
  expect(bench.signed.roots.size).toBe(0);
  bench.create = true;
  await (await bench.open()).close();
  bench.create = false;
  expect((await bench.reopen()).head.size).toBe(1);
});

test('a checkpoint is shown to nobody before the files of all its leaves are in place', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  const shown: string[] = [];
  bench.onEvent = (event) => {
    const needed = `tile/entries/000.p/${log.head.size}`;
    shown.push(`${event}: ${log.head.size}, ${bench.files().includes(needed) ? 'whole' : `without ${needed}`}`);
  };
  await log.append(leaf(0));
  const committed = shown.lastIndexOf('committed: 1, whole');
  expect(shown.slice(committed + 1)).toEqual([
    ...Array(2).fill(['temporary: 1, whole', 'rename: 1, whole']).flat(),
    ...['temporary: 1, whole', 'rename: 1, whole', 'temporary: 1, whole', 'marker: 1, whole'],
  ]);
  expect(log.head.size).toBe(3);
  await log.close();
});

test('whoever reads in the store that a leaf is in the log finds it, however late the log itself hears of it', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  const { head } = readRows(bench.store);
  const found: boolean[] = [];
  bench.onEvent = () => void found.push(log.entry(head()!.size - 1) !== undefined);
  await log.append(leaf(0));
  expect(found.length).toBeGreaterThan(3);
  expect(found).not.toContain(false);
  expect(log.entry(log.head.size)).toBeUndefined();
  await log.close();
});

test('every batch ends in a roster, and submissions at the same time share one', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  const first = log.append(leaf(0));
  await first;
  const places = await Promise.all([1, 2, 3].map((i) => log.append(leaf(i))));
  expect([await first, ...places].map(({ index }) => index)).toEqual([1, 3, 4, 5]);
  expect(log.head.size).toBe(7);
  const kinds = Array.from({ length: 7 }, (_, i) => fromUtf8(log.entry(i)!).split('\n')[0]);
  expect(kinds).toEqual(['test/roster', 'test/leaf', 'test/roster', ...Array(3).fill('test/leaf'), 'test/roster']);
  expect(log.entry(7)).toBeUndefined();
  await log.close();
});

test('the same leaf again gives the same index, in one batch and in another, and appends nothing', async () => {
  const log = await new LogBench().open();
  const [a, b] = await Promise.all([log.append(leaf(1)), log.append(leaf(1))]);
  expect([a, b]).toEqual([
    { index: 1, added: true },
    { index: 1, added: false },
  ]);
  const { size } = log.head;
  expect(await log.append(leaf(1))).toEqual({ index: 1, added: false });
  expect(log.head.size).toBe(size);
  expect(log.indexOf(leaf(1))).toBe(1);
  await log.close();
});

test('roots and proofs agree with the naive tree, over tile boundaries', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  const heads = [log.head];
  for (const count of [1, 250, 2, 1, 3, 254, 260, 700]) {
    const from = log.head.size;
    await Promise.all(Array.from({ length: count }, (_, i) => log.append(leaf(from * 10_000 + i))));
    heads.push(log.head);
  }
  const entries = Array.from({ length: log.head.size }, (_, i) => log.entry(i)!);
  for (const head of heads) {
    expect(bytesToHex(head.root)).toBe(bytesToHex(naiveRoot(entries.slice(0, head.size))));
    const proof = await log.proveConsistency(head.size);
    expect(verifyConsistency(head, log.head, proof)).toBe(true);
    for (const index of [0, Math.floor(head.size / 2), head.size - 1]) {
      const inclusion = await log.proveInclusion(index, head.size);
      expect(verifyInclusion(inclusion, hashEntry(entries[index]!), head.root)).toBe(true);
    }
  }
  expect(bench.publishedEntries().map(bytesToHex)).toEqual(entries.map(bytesToHex));
  const level1 = bench.file(`tile/1/000.p/${Math.floor(log.head.size / 256)}`);
  expect(bytesToHex(level1.slice(0, 32))).toBe(bytesToHex(naiveRoot(entries.slice(0, 256))));
  // Never an empty tile, and never a partial one hashed upward.
  expect(bench.files().some((name) => name.endsWith('.p/0'))).toBe(false);
  expect(level1.length).toBe(32 * Math.floor(log.head.size / 256));
  await log.close();
});

test('a tree of 70,000 leaves has the tiles that the specification counts', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  for (let from = 0; from < 69_950; from += 13_990) {
    await Promise.all(Array.from({ length: 13_990 }, (_, i) => log.append(leaf(from + i))));
  }
  while (log.head.size < 70_000) await log.append(leaf(-log.head.size));
  const { size } = log.head;
  const full = Math.floor(size / 256);
  const names = bench.files();
  expect(names.filter((name) => /^tile\/0\/\d+$/.test(name)).length).toBe(full);
  expect(names.filter((name) => /^tile\/1\/\d+$/.test(name))).toEqual(['tile/1/000']);
  expect(names).toContain(`tile/1/001.p/${full - 256}`);
  expect(names).toContain('tile/2/000.p/1');
  expect(names).toContain(`tile/0/${String(full).padStart(3, '0')}.p/${size % 256}`);
  expect(bench.checkpoint()?.size).toBe(size);
  await log.close();
});

test('leaves that are empty or too long are refused, and one of 65,535 bytes is taken', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  expect(() => log.append(new Uint8Array())).toThrow(expect.objectContaining({ code: 'malformed' }));
  expect(() => log.append(new Uint8Array(65_536))).toThrow(expect.objectContaining({ code: 'too_large' }));
  const large = new Uint8Array(65_535).fill(7);
  expect(await log.append(large)).toEqual({ index: 1, added: true });
  expect(bench.publishedEntries()[1]).toEqual(large);
  await log.close();
});

test('more than can wait is refused as overloaded, and what was taken is appended', async () => {
  const log = await new LogBench().open();
  const waiting = Array.from({ length: 16_384 + 5 }, (_, i) => failure(log.append(leaf(i))));
  const answers = await Promise.all(waiting);
  const refused = answers.filter((answer) => answer === 'overloaded').length;
  expect(refused).toBeGreaterThan(0);
  expect(refused).toBeLessThanOrEqual(5);
  expect(answers.filter((answer) => answer === 'no error').length).toBe(16_389 - refused);
  await log.close();
});

test('what is prepared sees everything before it committed, and fails alone', async () => {
  const log = await new LogBench().open();
  const seen: number[] = [];
  const prepared = (i: number) =>
    log.appendPrepared(async () => {
      seen.push(log.head.size);
      if (i === 2) throw new Error('refused');
      return leaf(100 + i);
    });
  const work = [log.append(leaf(0)), prepared(1), prepared(2), prepared(3), log.append(leaf(4))];
  const results = await Promise.allSettled(work);
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  expect(seen).toEqual([3, 5, 5]);
  await log.close();
});

test('a closed log takes no more, and what it had taken is in it', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  const last = log.append(leaf(1));
  await log.close();
  expect((await last).index).toBe(1);
  expect(await failure(log.append(leaf(2)))).toBe('not_ready');
  expect((await bench.reopen()).indexOf(leaf(1))).toBe(1);
});

test('views are stored with the batch that they are of', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  await log.append(leaf(1));
  expect(fromUtf8(bench.store.get('view', utf8('batch/1'))!)).toBe(`2/${bench.now}`);
  await log.close();
});

test('files that were lost are made anew; a file that says something else is refused', async () => {
  const bench = new LogBench();
  let log = await bench.open();
  await Promise.all(Array.from({ length: 600 }, (_, i) => log.append(leaf(i))));
  await log.append(leaf(-1));
  const before = bench.publishedEntries().map(bytesToHex);
  rmSync(bench.folder, { recursive: true });
  mkdirSync(bench.folder);
  log = await bench.reopen();
  expect(bench.publishedEntries().map(bytesToHex)).toEqual(before);
  rmSync(join(bench.folder, '.published'));
  writeFileSync(join(bench.folder, 'tile/0/001'), new Uint8Array(8192));
  expect(await failure(bench.reopen())).toBe('store_refused');
});

test.each([
  ['a tile was changed', (row: Uint8Array, table: LogTable) => (table === 'tile' ? row.fill(1) : row)],
  ['its head was changed', (row: Uint8Array, table: LogTable) => (table === 'state' ? row.fill(7, 90, 95) : row)],
])('a store in which %s is refused', async (_what, change) => {
  const bench = new LogBench();
  const log = await bench.open();
  await log.append(leaf(1));
  const image = bench.store.snapshot();
  for (const table of LOG_TABLES) {
    for (const [key, row] of image.tables[table])
      (image.tables[table] as Map<string, Uint8Array>).set(key, change(row.slice(), table));
  }
  bench.store = new MemoryKeyValueStore<LogTable>(image);
  expect(await failure(bench.open())).toMatch(/^(store_refused|malformed)$/);
});

test('a store that is replaced beneath a running log is noticed before anything is signed', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  await log.append(leaf(1));
  const old = bench.store.snapshot();
  await log.append(leaf(2));
  bench.store.restore(old);
  const signed = bench.signed.roots.size;
  expect(await failure(log.append(leaf(3)))).toBe('store_refused');
  expect(bench.signed.roots.size).toBe(signed);
});

test('another log’s store is refused', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  await log.close();
  const head = readRows(bench.store.reopen()).head()!;
  expect(head.size).toBe(1);
  bench.store = bench.store.reopen();
  bench.signer = () => ({ ...new LogBench().signer('roster') });
  expect(await failure(bench.open())).toBe('store_refused');
});
