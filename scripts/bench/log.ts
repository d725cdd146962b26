/** The bench's fourth part: the transparency log's append path, and proofs out of a large log. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { bytesToHex, Secret, sha256, systemRandom, utf8 } from '../../src/core/index.ts';
import { LOG_TABLES, readRows, TileFiles, TransparencyLog } from '../../src/cosigner/log/index.ts';
import { ed25519KeyFromSeed } from '../../src/crypto/index.ts';
import { openLmdbStore } from '../../src/store/index.ts';
import { hashEntry, softwareNoteSigner, verifyConsistency, verifyInclusion } from '../../src/trust/index.ts';
import { median, quantile } from './statistics.ts';

export interface LogOptions {
  readonly directory: string;
  readonly entries: number;
  readonly say: (line: string) => void;
}

export interface Times {
  readonly median: number;
  readonly p95: number;
}

export interface LogResult {
  readonly entries: number;
  /** Leaves of the log at the end, rosters included. */
  readonly size: number;
  readonly batches: number;
  /** Entries acknowledged per second over the whole run, each in a published checkpoint. */
  readonly perSecond: number;
  /** CPU seconds of the process per 1,000 entries. */
  readonly cpuPerThousand: number;
  /** Milliseconds from submission to acknowledgement, so many at a time. */
  readonly concurrency: number;
  readonly acknowledged: Times;
  /** One entry at a time: milliseconds of a batch of one, with all its synchronisation. */
  readonly alone: Times;
  /** Milliseconds to make a proof; each is verified outside of what is measured. */
  readonly inclusion: Times;
  readonly consistency: Times;
  /** Seconds to open the log again. */
  readonly openSeconds: number;
  readonly storeBytes: number;
  readonly fileBytes: number;
}

const ORIGIN = 'bench.example/vault/bench';
const CONCURRENCY = 4096;
const ALONE = 100;
const PROOFS = 2000;

const signer = (name: string) => softwareNoteSigner(name, ed25519KeyFromSeed(new Secret(sha256(utf8(name)))));
const times = (values: readonly number[]): Times => ({ median: median(values), p95: quantile(values, 0.95) });

/** What the log's leaves look like: a hash, a size and an address. */
function evidence(i: number): Uint8Array {
  const digest = bytesToHex(sha256(utf8(String(i))));
  return utf8(
    `holdfast/evidence/v1\n{"address":"https://evidence.example/${digest}","sha256":"${digest}","size":${i + 1}}\n`,
  );
}

async function open(directory: string): Promise<TransparencyLog> {
  const store = await openLmdbStore(join(directory, 'store'), LOG_TABLES);
  return TransparencyLog.open({
    origin: ORIGIN,
    store,
    files: new TileFiles({ folder: join(directory, 'files'), rows: readRows(store) }),
    checkpointSigner: signer(ORIGIN),
    rosterSigner: signer('bench.example/roster'),
    create: true,
    content: {
      // A roster of one fleet: what most logs have.
      nextRoster: (previous, leaves, first) => {
        const number = previous === undefined ? 1 : Number(/"number":(\d+)/.exec(previous)![1]) + 1;
        return `holdfast/roster/v1\n{"fleets":[],"number":${number},"size":${first + leaves.length}}\n`;
      },
      views: () => [],
    },
  });
}

export async function measureLog({ directory, entries, say }: LogOptions): Promise<LogResult> {
  let log = await open(directory);
  const latencies: number[] = [];
  let next = 0;
  let batches = 0;
  let lastSize = 0;
  const worker = async () => {
    while (next < entries) {
      const leaf = evidence(next++);
      if (next % 100_000 === 0) say(`log: ${next} entries`);
      const begun = performance.now();
      await log.append(leaf);
      // One in a hundred will do.
      if (next % 100 === 0) latencies.push(performance.now() - begun);
      if (log.head.size !== lastSize) batches++;
      lastSize = log.head.size;
    }
  };
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const alone: number[] = [];
  for (let i = 0; i < ALONE; i++) {
    const start = performance.now();
    await log.append(evidence(entries + i));
    alone.push(performance.now() - start);
  }
  await log.close();
  const reopening = performance.now();
  log = await open(directory);
  const openSeconds = (performance.now() - reopening) / 1000;
  say('log: making proofs');
  const { inclusion, consistency } = await measureProofs(log);
  const { size } = log.head;
  await log.close();
  return {
    entries,
    size,
    batches,
    perSecond: entries / seconds,
    cpuPerThousand: (user + system) / 1e6 / (entries / 1000),
    concurrency: CONCURRENCY,
    acknowledged: times(latencies),
    alone: times(alone),
    inclusion,
    consistency,
    openSeconds,
    storeBytes: statSync(join(directory, 'store', 'data.mdb')).size,
    fileBytes: bytesBelow(join(directory, 'files')),
  };
}

async function measureProofs(log: TransparencyLog): Promise<{ inclusion: Times; consistency: Times }> {
  const { size, root } = log.head;
  const pick = () => new DataView(systemRandom(4).buffer).getUint32(0) % size;
  const [inclusion, consistency]: [number[], number[]] = [[], []];
  for (let i = 0; i < PROOFS; i++) {
    const index = pick();
    let begun = performance.now();
    const proof = await log.proveInclusion(index);
    inclusion.push(performance.now() - begun);
    if (!verifyInclusion(proof, hashEntry(log.entry(index)!), root)) throw new Error(`no proof of entry ${index}`);
    const older = pick() + 1;
    begun = performance.now();
    const hashes = await log.proveConsistency(older);
    consistency.push(performance.now() - begun);
    const before = { size: older, root: await log.rootAt(older) };
    if (!verifyConsistency(before, log.head, hashes)) throw new Error(`no proof from ${older} leaves`);
  }
  return { inclusion: times(inclusion), consistency: times(consistency) };
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
