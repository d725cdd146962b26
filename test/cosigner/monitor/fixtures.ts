/** A monitor over a log in memory that a test can make misbehave: what is served where, and when. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, HoldfastError, sha256, utf8 } from '../../../src/core/index.ts';
import {
  keepProofFiles,
  type Looked,
  type LookOptions,
  look,
  MONITOR_TABLES,
  MonitorStore,
  type MonitorTable,
} from '../../../src/cosigner/monitor/index.ts';
import { LogReplay } from '../../../src/cosigner/replay/index.ts';
import { MemoryKeyValueStore } from '../../../src/store/index.ts';
import { evidenceLeaf, type LiveManifest, type SignedPolicy, serialiseNote } from '../../../src/trust/index.ts';
import { acceptance, hex, proposal, TestLog } from '../../trust/fixture.ts';
import { deployment, NOW } from '../../trust/manifests.ts';

export const HOUR = 3_600_000;

export class TestClock implements Clock {
  time = NOW;
  now(): number {
    return this.time;
  }
  sleep(): Promise<void> {
    return Promise.resolve();
  }
}

/** A fleet's evidence, as its operator publishes it. */
export const EVIDENCE = utf8('{"statements":[]}\n');
export const ADDRESS = 'https://vault.example/evidence/first.json';
export const evidenceOf = (bytes: Uint8Array) => ({ sha256: hex(sha256(bytes)), address: ADDRESS });
export const manifest = (changes: Parameters<typeof deployment>[0] = {}): LiveManifest =>
  deployment({ evidence: evidenceOf(EVIDENCE), notBefore: NOW - HOUR, ...changes });
export const evidenceEntry = (bytes = EVIDENCE) => evidenceLeaf({ ...evidenceOf(bytes), size: bytes.length });

/** A log with one accepted bundle. */
export async function orderlyLog(policy: SignedPolicy): Promise<TestLog> {
  const log = new TestLog(policy);
  await log.append();
  await log.append(evidenceEntry(), await proposal(manifest()), await acceptance(manifest()));
  return log;
}

export class MonitorBench {
  readonly clock = new TestClock();
  /** What the log serves; undefined: nothing. */
  log: TestLog | undefined;
  /** Leaves that it serves, where they are not the log's. */
  leavesOf: TestLog | undefined;
  /** Size of the checkpoint that it serves; undefined: all leaves. */
  size: number | undefined;
  /** When the witnesses cosigned what it serves. */
  witnessed: Readonly<Record<string, number>> | undefined;
  /** What each other place serves. */
  readonly vantages = new Map<string, { log: TestLog; size?: number } | undefined>();
  readonly evidence = new Map<string, Uint8Array>([[ADDRESS, EVIDENCE]]);
  readonly fetched: string[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), 'proofs-'));
  readonly policy: SignedPolicy;
  disk = new MemoryKeyValueStore<MonitorTable>(undefined, MONITOR_TABLES);

  constructor(policy: SignedPolicy, log: TestLog) {
    this.policy = policy;
    this.log = log;
  }

  options(changes: Partial<LookOptions> = {}): LookOptions {
    const replay = new LogReplay(this.disk, this.policy);
    return {
      replay,
      store: new MonitorStore(this.disk, replay.origin),
      reader: {
        checkpoint: async () => this.#checkpoint(this.#require(), this.size),
        leaves: async (from, to) => {
          const { entries } = this.leavesOf ?? this.#require();
          if (entries.length < to) throw new HoldfastError('not_ready', 'the log does not serve these leaves');
          return entries.slice(from, to);
        },
      },
      vantages: [...this.vantages].map(([name, served]) => ({
        name,
        checkpoint: async () => {
          if (!served) throw new HoldfastError('not_ready', `${name} does not answer`);
          return await this.#checkpoint(served.log, served.size);
        },
      })),
      keepFiles: (contradiction) => keepProofFiles(this.folder, contradiction),
      clock: this.clock,
      withheldAfter: HOUR,
      unacceptedAfter: 24 * HOUR,
      evidence: {
        fetch: async (address) => {
          this.fetched.push(address);
          const bytes = this.evidence.get(address);
          if (!bytes) throw new HoldfastError('not_ready', 'nobody serves it');
          return bytes;
        },
        maximumBytes: 1_000_000,
        interval: 24 * HOUR,
      },
      ...changes,
    };
  }

  look(changes: Partial<LookOptions> = {}): Promise<Looked> {
    return look(this.options(changes));
  }

  /** The rules that are broken now, in their order. */
  async rules(changes: Partial<LookOptions> = {}): Promise<string[]> {
    return (await this.look(changes)).alerts.map(({ rule }) => rule);
  }

  #require(): TestLog {
    if (this.log) return this.log;
    throw new HoldfastError('not_ready', 'the log does not answer');
  }

  async #checkpoint(log: TestLog, size: number | undefined): Promise<Uint8Array> {
    const options = { ...(size !== undefined && { size }), ...(this.witnessed && { witnessed: this.witnessed }) };
    return utf8(serialiseNote(await log.checkpoint(options)));
  }
}
