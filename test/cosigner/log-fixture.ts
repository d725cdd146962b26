/** A log on a store in memory and a folder of its own, whose signers remember what they signed. */

import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { bytesToHex, concatBytes, fromUtf8, sha256, utf8 } from '../../src/core/index.ts';
import {
  LOG_TABLES,
  type LogContent,
  type LogStore,
  type LogTable,
  readRows,
  TileFiles,
  TransparencyLog,
} from '../../src/cosigner/log/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import {
  hashEntry,
  type NoteSigner,
  newVerifierKey,
  parseCheckpoint,
  parseNote,
  softwareNoteSigner,
} from '../../src/trust/index.ts';
import { ed25519Key } from '../trust/tlog/keys.ts';

const rosterKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** ECDSA whose signatures of one message differ each time, as a token's do. */
function ecdsaNoteSigner(name: string): NoteSigner {
  const { x, y } = rosterKey.publicKey.export({ format: 'jwk' });
  const point = concatBytes(Uint8Array.of(4), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url'));
  return {
    name,
    verifierKey: newVerifierKey(name, 'ecdsa', point).text,
    sign: async (message) => new Uint8Array(sign('sha256', message, rosterKey.privateKey)),
  };
}

export const ORIGIN = 'log.example/vault/test';

/** RFC 6962 section 2.1 as it is written. */
export function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 0) return sha256(new Uint8Array());
  if (leaves.length === 1) return hashEntry(leaves[0]!);
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha256(concatBytes(Uint8Array.of(1), naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k))));
}

/** A roster that only counts: what it says is not the log's concern. */
export const countingContent: LogContent = {
  nextRoster: (previous, leaves, first) => {
    const number = previous === undefined ? 1 : Number(previous.split('\n')[1]) + 1;
    return `test/roster\n${number}\n${first + leaves.length}\n`;
  },
  views: (leaves, first, time) => [
    { table: 'view', key: utf8(`batch/${first}`), value: utf8(`${leaves.length}/${time}`) },
  ],
};

export interface SignedMessages {
  /** By size: the roots for which a checkpoint was signed, whatever became of it. */
  readonly roots: Map<number, Set<string>>;
  /** By number: the rosters that were signed. */
  readonly rosters: Map<string, Set<string>>;
}

export class LogBench {
  readonly folder = mkdtempSync(join(tmpdir(), 'log-'));
  store = new MemoryKeyValueStore<LogTable>(undefined, LOG_TABLES);
  readonly signed: SignedMessages = { roots: new Map(), rosters: new Map() };
  /** The power is cut at the event with this number: before or after a commit, a signature, or a step with files. */
  crashAt = Number.POSITIVE_INFINITY;
  readonly events: string[] = [];
  /** Told of each event before it happens. */
  onEvent: (name: string) => void = () => {};
  #dead = false;
  content: LogContent = countingContent;
  create = true;
  now = 1_800_000_000_000;

  signer(what: 'checkpoint' | 'roster'): NoteSigner {
    const inner =
      what === 'checkpoint' ? softwareNoteSigner(ORIGIN, ed25519Key(what)) : ecdsaNoteSigner('log.example/roster');
    return {
      ...inner,
      sign: async (message) => {
        this.#event(`sign ${what}`);
        const text = fromUtf8(message);
        if (what === 'checkpoint') {
          const { size, root } = parseCheckpoint(text);
          note(this.signed.roots, size, bytesToHex(root));
        } else note(this.signed.rosters, text.split('\n')[1]!, text);
        this.#event(`signed ${what}`);
        return inner.sign(message);
      },
    };
  }

  open(): Promise<TransparencyLog> {
    const { folder } = this;
    const store = this.#faulty();
    return TransparencyLog.open({
      origin: ORIGIN,
      store,
      files: new TileFiles({ folder, rows: readRows(store), onStep: (step) => this.#event(step) }),
      checkpointSigner: this.signer('checkpoint'),
      rosterSigner: this.signer('roster'),
      content: this.content,
      create: this.create,
      clock: { now: () => this.now, sleep: async () => {} },
    });
  }

  /** After a crash: the same disk, a new process. */
  async reopen(): Promise<TransparencyLog> {
    this.crashAt = Number.POSITIVE_INFINITY;
    this.#dead = false;
    this.store = this.store.reopen();
    return this.open();
  }

  /** Nothing happens any more once the power is cut. */
  #event(name: string): void {
    this.events.push(name);
    if (this.events.length >= this.crashAt) this.#dead = true;
    if (this.#dead) throw new Error(`power cut at ${name}`);
    this.onEvent(name);
  }

  #faulty(): LogStore {
    const { store } = this;
    return {
      get: (table, key) => store.get(table, key),
      entries: (table) => store.entries(table),
      size: () => store.size(),
      close: () => store.close(),
      commit: async (writes) => {
        this.#event('commit');
        await store.commit(writes);
        this.#event('committed');
      },
    };
  }

  /** The published checkpoint, or undefined. */
  checkpoint(): { size: number; root: Uint8Array } | undefined {
    try {
      return parseCheckpoint(parseNote(readFileSync(join(this.folder, 'latest-checkpoint'))).text);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  file(name: string): Uint8Array {
    return new Uint8Array(readFileSync(join(this.folder, name)));
  }

  /** Paths below the folder, sorted. */
  files(): string[] {
    return readdirSync(this.folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(this.folder, join(entry.parentPath, entry.name)))
      .sort();
  }

  /** Every entry that the published checkpoint commits to, from the files alone. */
  publishedEntries(): Uint8Array[] {
    const size = this.checkpoint()?.size ?? 0;
    const entries: Uint8Array[] = [];
    for (let tile = 0; tile * 256 < size; tile++) {
      const width = Math.min(256, size - tile * 256);
      const bundle = this.file(`tile/entries/${pathOf(tile)}${width === 256 ? '' : `.p/${width}`}`);
      const hashes = this.file(`tile/0/${pathOf(tile)}${width === 256 ? '' : `.p/${width}`}`);
      let at = 0;
      for (let i = 0; i < width; i++) {
        const length = bundle[at]! * 256 + bundle[at + 1]!;
        const entry = bundle.slice(at + 2, at + 2 + length);
        at += 2 + length;
        if (bytesToHex(hashEntry(entry)) !== bytesToHex(hashes.slice(i * 32, i * 32 + 32)))
          throw new Error('wrong tile');
        entries.push(entry);
      }
      if (at !== bundle.length || hashes.length !== width * 32) throw new Error('wrong length');
    }
    return entries;
  }
}

const pathOf = (tile: number) => {
  const padded = (part: number) => String(part).padStart(3, '0');
  return tile < 1000 ? padded(tile) : `x${padded(Math.floor(tile / 1000))}/${padded(tile % 1000)}`;
};

function note<K>(map: Map<K, Set<string>>, key: K, value: string): void {
  map.set(key, (map.get(key) ?? new Set()).add(value));
}
