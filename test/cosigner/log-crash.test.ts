/** The power is cut at every single step of appending, and at random ones of random histories. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesToHex, equalBytes, utf8 } from '../../src/core/index.ts';
import type { TransparencyLog } from '../../src/cosigner/log/index.ts';
import { hashEntry, verifyConsistency } from '../../src/trust/index.ts';
import { LogBench, naiveRoot } from './log-fixture.ts';

const leaf = (i: number) => utf8(`test/leaf\n${i}\n`);

/** Appends `count` new leaves at once; tells which were acknowledged, by index. */
async function appendMany(log: TransparencyLog, from: number, count: number, acknowledged: Map<number, Uint8Array>) {
  const leaves = Array.from({ length: count }, (_, i) => leaf(from + i));
  const results = await Promise.allSettled(leaves.map((one) => log.append(one)));
  results.forEach((result, i) => {
    if (result.status === 'fulfilled') acknowledged.set(result.value.index, leaves[i]!);
  });
}

/** What must hold after any crash, once the log is open again. */
async function check(bench: LogBench, log: TransparencyLog, acknowledged: Map<number, Uint8Array>, before: Seen) {
  const entries = bench.publishedEntries();
  const checkpoint = bench.checkpoint()!;
  expect(checkpoint.size).toBe(log.head.size);
  expect(bytesToHex(naiveRoot(entries))).toBe(bytesToHex(checkpoint.root));
  for (const [index, entry] of acknowledged) expect(equalBytes(entries[index]!, entry)).toBe(true);
  // No leaf twice, and every batch ends in a roster.
  expect(new Set(entries.map((entry) => bytesToHex(hashEntry(entry)))).size).toBe(entries.length);
  // Nothing was ever signed for two roots of a size, nor two rosters of a number.
  for (const roots of bench.signed.roots.values()) expect(roots.size).toBe(1);
  for (const rosters of bench.signed.rosters.values()) expect(rosters.size).toBe(1);
  for (const [size, roots] of bench.signed.roots) {
    if (size <= entries.length) expect([...roots]).toEqual([bytesToHex(naiveRoot(entries.slice(0, size)))]);
  }
  if (before) expect(verifyConsistency(before, log.head, await log.proveConsistency(before.size))).toBe(true);
}
type Seen = { size: number; root: Uint8Array } | undefined;

/** Whatever is published at this very moment must be whole. */
function checkPublished(bench: LogBench): Seen {
  const checkpoint = bench.checkpoint();
  if (checkpoint) {
    const entries = bench.publishedEntries();
    expect(bytesToHex(naiveRoot(entries))).toBe(bytesToHex(checkpoint.root));
  }
  return checkpoint;
}

async function crashOnce(crashAt: number): Promise<{ crashed: boolean; event: string | undefined }> {
  const bench = new LogBench();
  bench.crashAt = crashAt;
  const acknowledged = new Map<number, Uint8Array>();
  try {
    const log = await bench.open();
    await appendMany(log, 0, 3, acknowledged);
    await appendMany(log, 3, 254, acknowledged);
    await appendMany(log, 257, 1, acknowledged);
    await log.settle();
  } catch {
    // The power was cut.
  }
  const crashed = bench.events.length >= crashAt;
  const event = bench.events[crashAt - 1];
  const published = checkPublished(bench);
  const log = await bench.reopen();
  await check(bench, log, acknowledged, published);
  // What was not acknowledged may be submitted again.
  await appendMany(log, 0, 258, acknowledged);
  expect(acknowledged.size).toBe(258);
  await check(bench, log, acknowledged, published);
  await log.close();
  return { crashed, event };
}

test('a power cut at any step of three batches loses nothing and forks nothing', async () => {
  const events = new Set<string>();
  let crashes = 0;
  for (let crashAt = 1; ; crashAt++) {
    const { crashed, event } = await crashOnce(crashAt);
    if (event !== undefined) events.add(event);
    if (!crashed) break;
    crashes++;
  }
  expect(crashes).toBeGreaterThan(60);
  expect([...events].sort()).toEqual(
    [
      'commit',
      'committed',
      'marker',
      'rename',
      'sign checkpoint',
      'sign roster',
      'signed checkpoint',
      'signed roster',
      'temporary',
    ].sort(),
  );
});

test('random histories of appends, crashes and restarts agree with the naive tree', async () => {
  const action = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 40 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('again' as const), count: fc.integer({ min: 1, max: 40 }) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('crash' as const), count: fc.integer({ min: 1, max: 30 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), count: fc.constant(0) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), async (actions) => {
      const bench = new LogBench();
      let log = await bench.open();
      const acknowledged = new Map<number, Uint8Array>();
      let next = 0;
      for (const { kind, count } of actions) {
        if (kind === 'append') {
          await appendMany(log, next, count, acknowledged);
          next += count;
        } else if (kind === 'again') {
          await appendMany(log, Math.max(0, next - count), Math.min(count, next), acknowledged);
        } else {
          let published: Seen;
          if (kind === 'crash') {
            bench.crashAt = bench.events.length + count;
            await appendMany(log, next, count, acknowledged);
            next += count;
            published = checkPublished(bench);
          } else await log.close();
          log = await bench.reopen();
          await check(bench, log, acknowledged, published);
        }
      }
      await check(bench, log, acknowledged, undefined);
      await log.close();
    }),
    { numRuns: 25 },
  );
});

test('after a failure that is no crash the log goes on by itself', async () => {
  const bench = new LogBench();
  const log = await bench.open();
  let failures = 0;
  bench.store.failNextCommit();
  await log.append(leaf(1)).catch(() => failures++);
  expect(failures).toBe(1);
  expect((await log.append(leaf(1))).index).toBe(1);
  await check(bench, log, new Map([[1, leaf(1)]]), undefined);
  await log.close();
});
