/**
 * A key-value store in memory with the crash semantics of a disk and faults on demand, for tests and the deterministic
 * simulation. No timers, no randomness: the same calls give the same results in the same order.
 */

import { bytesToHex, HoldfastError, hexToBytes } from '../core/index.ts';
import type { KeyValueStore, Table, Write } from './port.ts';

type Tables<T extends string> = Record<T, Map<string, Uint8Array>>;

const NODE_TABLES: readonly Table[] = ['record', 'bucket', 'meta'];

/** A copy of a whole disk, to be brought back later. Immutable; may be restored many times, into any store. */
export interface StoreImage<T extends string = Table> {
  readonly tables: Readonly<Record<T, ReadonlyMap<string, Uint8Array>>>;
}

/** Where a crash hits relative to the moment at which the commit is on stable storage. */
export type CrashPoint = 'before' | 'after';

type Fault = 'fail' | CrashPoint;

function copyTables<T extends string>(from: StoreImage<T>['tables']): Tables<T> {
  const tables = Object.entries(from) as [T, ReadonlyMap<string, Uint8Array>][];
  // Stored byte strings are never changed in place, so the maps can share them.
  return Object.fromEntries(tables.map(([name, table]) => [name, new Map(table)])) as Tables<T>;
}

function noTables<T extends string>(names: readonly T[]): Tables<T> {
  return Object.fromEntries(names.map((name) => [name, new Map()])) as unknown as Tables<T>;
}

/** One process's handle on a disk in memory. A crash or `reopen` ends the handle; the disk stays. */
export class MemoryKeyValueStore<T extends string = Table> implements KeyValueStore<T> {
  #disk: { tables: Tables<T> };
  readonly #faults: Fault[] = [];
  #ended: string | undefined;

  /** With `image`, starts from that copy of a disk; `names` are a node's tables unless others are given. */
  constructor(image?: StoreImage<T>, names: readonly T[] = NODE_TABLES as readonly string[] as readonly T[]) {
    this.#disk = { tables: copyTables<T>(image?.tables ?? noTables(names)) };
  }

  get(table: T, key: Uint8Array): Uint8Array | undefined {
    return this.#tables()[table].get(bytesToHex(key))?.slice();
  }

  *entries(table: T, after?: Uint8Array): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    const sorted = [...this.#tables()[table]].sort(([a], [b]) => (a < b ? -1 : 1));
    const first = after ? bytesToHex(after) : undefined;
    for (const [key, value] of sorted) {
      if (first === undefined || key > first) yield [hexToBytes(key), value.slice()];
    }
  }

  /** As a disk may, shows the writes to readers before the promise has resolved. */
  async commit(writes: readonly Write<T>[]): Promise<void> {
    const tables = this.#tables();
    const fault = this.#faults.shift();
    if (fault === 'fail') {
      throw new HoldfastError('unexpected', 'The disk is full (injected). Free some space.', {
        details: { injected: true },
      });
    }
    if (fault !== 'before') {
      for (const { table, key, value } of writes) {
        if (value === undefined) tables[table].delete(bytesToHex(key));
        else tables[table].set(bytesToHex(key), new Uint8Array(value));
      }
    }
    if (fault !== undefined) {
      this.#ended = `The process crashed ${fault} a commit (injected).`;
      this.#tables();
    }
    await Promise.resolve();
  }

  size(): number {
    let total = 0;
    for (const table of Object.values<Map<string, Uint8Array>>(this.#tables())) {
      for (const [key, value] of table) total += key.length / 2 + value.length;
    }
    return total;
  }

  async close(): Promise<void> {
    this.#ended ??= 'The store has been closed.';
  }

  /** The next commit without a fault of its own rejects; nothing of it is applied. */
  failNextCommit(): void {
    this.#faults.push('fail');
  }

  /** The next commit without a fault of its own ends this handle, before or after its writes became durable. */
  crashAtNextCommit(point: CrashPoint): void {
    this.#faults.push(point);
  }

  /** The process dies now; what was committed stays on the disk. */
  crash(): void {
    this.#ended ??= 'The process crashed (injected).';
  }

  /** Whether this handle has crashed, was closed or was superseded by `reopen`. */
  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** A restarted process's handle on the same disk. This one ends: a process that is gone can write no more. */
  reopen(): MemoryKeyValueStore<T> {
    this.#ended ??= 'The store has been opened by another process.';
    const next = new MemoryKeyValueStore<T>();
    next.#disk = this.#disk;
    return next;
  }

  /** The disk as it is now; works after a crash, too. */
  snapshot(): StoreImage<T> {
    return { tables: copyTables(this.#disk.tables) };
  }

  /** Puts the whole disk back to `image`: a rolled-back virtual machine or backup. */
  restore(image: StoreImage<T>): void {
    this.#disk.tables = copyTables(image.tables);
  }

  #tables(): Tables<T> {
    if (this.#ended !== undefined) throw new HoldfastError('unexpected', `${this.#ended} Open the store again.`);
    return this.#disk.tables;
  }
}
