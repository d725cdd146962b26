/** What a monitor keeps: the copy of the log, every checkpoint that it saw, contradictions, and its alerts. */

import { bytesToHex, codec, fromUtf8, HoldfastError, sha256, utf8 } from '../../core/index.ts';
import type { KeyValueStore } from '../../store/port.ts';
import { MAXIMUM_NOTE_BYTES } from '../../trust/index.ts';
import { MIRROR_TABLES } from '../replay/index.ts';
import { RULES, type Rule } from './findings.ts';

/** `head`: signed checkpoints by size. `evidence`: what was fetched when. `contradiction`: pairs. `monitor`: the rest. */
export const MONITOR_TABLES = [...MIRROR_TABLES, 'head', 'evidence', 'contradiction', 'monitor'] as const;
export type MonitorTable = (typeof MONITOR_TABLES)[number];
export type MonitorDisk = KeyValueStore<MonitorTable>;

const { flag, list, message, optional, struct, text, uint, word } = codec;

/** Two checkpoints that the log has signed and that cannot both be true. */
export interface Contradiction {
  readonly kind: 'rewritten' | 'split_view' | 'rules';
  /** Where the second one was seen. */
  readonly source: string;
  readonly reason: string;
  /** Signed notes. */
  readonly first: string;
  readonly second: string;
  readonly time: number;
}

const CONTRADICTION = message('holdfast/monitor-contradiction/v1', {
  kind: word('rewritten', 'split_view', 'rules'),
  source: text(1024),
  reason: text(4096),
  first: text(MAXIMUM_NOTE_BYTES),
  second: text(MAXIMUM_NOTE_BYTES),
  time: uint,
});

/** A piece of evidence that the log names. */
export interface EvidenceItem {
  readonly sha256: string;
  readonly address: string;
  /** Bytes; undefined where only a bundle names it. */
  readonly size: number | undefined;
  /** Of the leaf that names it. */
  readonly index: number;
  /** Milliseconds since 1970; 0 if never. */
  readonly checked: number;
  /** Empty where it was right. */
  readonly fault: string;
  readonly missing: boolean;
}

const EVIDENCE = message('holdfast/monitor-evidence/v1', {
  sha256: text(64),
  address: text(2048),
  size: optional(uint),
  index: uint,
  checked: uint,
  fault: text(4096),
  missing: flag,
});

export interface StoredAlert {
  readonly rule: Rule;
  readonly subject: string;
  readonly message: string;
  readonly files: readonly string[];
  readonly since: number;
  /** Whether the webhook has taken it. */
  readonly delivered: boolean;
  /** It is over, and the webhook has yet to hear so. */
  readonly resolved: boolean;
}

export interface MonitorState {
  readonly origin: string;
  /** The largest tree that the log itself has served. */
  readonly served: number;
  /** The largest tree seen elsewhere that the log does not serve, and since when; undefined if it serves it. */
  readonly ahead:
    | {
        readonly size: number;
        readonly source: string;
        readonly since: number;
        /** The signed checkpoint that was seen. */
        readonly note: string;
      }
    | undefined;
  /** Seconds since 1970 of the newest quorum of cosignatures seen; 0 for none. */
  readonly quorum: number;
  /** Digests of proposals that wait for their acceptance, and when each was first seen. */
  readonly proposals: readonly { readonly digest: string; readonly since: number }[];
  /** Leaves that were looked through for evidence. */
  readonly scanned: number;
  readonly alerts: readonly StoredAlert[];
}

const RULE_WORDS = Object.keys(RULES) as Rule[];

const STATE = message('holdfast/monitor-state/v1', {
  origin: text(4096),
  served: uint,
  ahead: optional(struct({ size: uint, source: text(1024), since: uint, note: text(MAXIMUM_NOTE_BYTES) })),
  quorum: uint,
  proposals: list(struct({ digest: text(64), since: uint }), 10_000),
  scanned: uint,
  alerts: list(
    struct({
      rule: word(...RULE_WORDS),
      subject: text(4096),
      message: text(8192),
      files: list(text(4096), 8),
      since: uint,
      delivered: flag,
      resolved: flag,
    }),
    10_000,
  ),
});

/** Contradictions that are kept: more prove no more. */
const MAXIMUM_CONTRADICTIONS = 64;
const STATE_KEY = utf8('state');

export class MonitorStore {
  readonly disk: MonitorDisk;
  readonly #origin: string;

  constructor(disk: MonitorDisk, origin: string) {
    this.disk = disk;
    this.#origin = origin;
  }

  /** @throws HoldfastError `store_refused` for what is damaged or of another log. */
  state(): MonitorState {
    const bytes = this.disk.get('monitor', STATE_KEY);
    if (!bytes) {
      return { origin: this.#origin, served: 0, ahead: undefined, quorum: 0, proposals: [], scanned: 0, alerts: [] };
    }
    const state = this.#decoded(() => STATE.decode(bytes));
    if (state.origin === this.#origin) return state;
    throw new HoldfastError(
      'store_refused',
      `this folder is of a monitor of ${state.origin}; give the monitor of ${this.#origin} a folder of its own`,
    );
  }

  async save(state: MonitorState): Promise<void> {
    const value = STATE.encode({
      ...state,
      proposals: [...state.proposals],
      alerts: state.alerts.map((alert) => ({ ...alert, files: [...alert.files] })),
    });
    await this.disk.commit([{ table: 'monitor', key: STATE_KEY, value }]);
  }

  /** Keeps a signed checkpoint; the first one of each size stays. */
  async keepHead(size: number, note: string): Promise<void> {
    if (this.disk.get('head', sizeKey(size))) return;
    await this.disk.commit([{ table: 'head', key: sizeKey(size), value: utf8(note) }]);
  }

  /** The signed checkpoint of that size, or of the next larger one, or else of the largest. */
  headFrom(size: number): string | undefined {
    let found: Uint8Array | undefined;
    for (const [key, note] of this.disk.entries('head')) {
      found = note;
      if (sizeOf(key) >= size) break;
    }
    return found && fromUtf8(found);
  }

  contradictions(): Contradiction[] {
    return [...this.disk.entries('contradiction')].map(([, value]) => this.#decoded(() => CONTRADICTION.decode(value)));
  }

  /** Keeps it durably; the same pair once. @returns whether it is new. */
  async keepContradiction(contradiction: Contradiction): Promise<boolean> {
    const key = sha256(utf8(`${contradiction.kind}\n${contradiction.source}\n${textOf(contradiction.second)}`));
    if (this.disk.get('contradiction', key)) return false;
    if ([...this.disk.entries('contradiction')].length >= MAXIMUM_CONTRADICTIONS) return false;
    const value = CONTRADICTION.encode({ ...contradiction, reason: contradiction.reason.slice(0, 1000) });
    await this.disk.commit([{ table: 'contradiction', key, value }]);
    return true;
  }

  evidence(): EvidenceItem[] {
    return [...this.disk.entries('evidence')].map(([, value]) => this.#decoded(() => EVIDENCE.decode(value)));
  }

  /** Adds what is not there yet. Of two that name the same, the first with a size stays. */
  async addEvidence(items: readonly EvidenceItem[]): Promise<void> {
    const known = new Map(this.evidence().map((item) => [nameOf(item), item]));
    const added = new Map<string, EvidenceItem>();
    for (const item of items) {
      const other = added.get(nameOf(item)) ?? known.get(nameOf(item));
      if (!other || (other.size === undefined && item.size !== undefined)) added.set(nameOf(item), item);
    }
    await this.#writeEvidence([...added.values()]);
  }

  /** Changes one that is there. */
  changeEvidence(item: EvidenceItem): Promise<void> {
    return this.#writeEvidence([item]);
  }

  async #writeEvidence(items: readonly EvidenceItem[]): Promise<void> {
    const writes = items.map((item) => ({
      table: 'evidence' as const,
      key: sha256(utf8(nameOf(item))),
      value: EVIDENCE.encode({ ...item, fault: item.fault.slice(0, 1000) }),
    }));
    if (writes.length > 0) await this.disk.commit(writes);
  }

  #decoded<T>(decode: () => T): T {
    try {
      return decode();
    } catch (cause) {
      throw new HoldfastError(
        'store_refused',
        'what this monitor has seen is damaged; keep the folder, find out why, and start with a new one',
        { cause },
      );
    }
  }
}

const nameOf = ({ sha256: digest, address }: EvidenceItem) => `${digest}\n${address}`;

/** A note without its signatures, of which a log can make many over one text. */
export function textOf(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1);
}

/** Names two notes in file names. */
export function shortDigest(note: string): string {
  return bytesToHex(sha256(utf8(textOf(note)))).slice(0, 16);
}

function sizeKey(size: number): Uint8Array {
  const key = new Uint8Array(8);
  new DataView(key.buffer).setBigUint64(0, BigInt(size));
  return key;
}

function sizeOf(key: Uint8Array): number {
  return Number(new DataView(key.buffer, key.byteOffset, 8).getBigUint64(0));
}
