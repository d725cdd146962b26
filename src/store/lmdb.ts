/**
 * The durable key-value store: one LMDB environment per folder, used by one process.
 *
 * Durability. `overlappingSync` (lmdb-js's default on Linux) makes a commit visible and resolves it before it is on
 * disk; it is off here. LMDB then writes the pages, syncs, writes the meta page with a synchronous write, all on a
 * worker thread, and only then does the promise resolve.
 *
 * Memory. LMDB maps the file, and with each page that is read the kernel maps those around it that it has in its cache: 64
 * KiB, or since Linux 6.18 up to 2 MiB. A store in use would in time be resident as a whole, and the maps that LMDB leaves
 * behind as the file grows with it. The kernel takes such pages back when it needs memory, but they count as the process's:
 * once they have grown by `MOST_MAPPED` the file is mapped anew, which takes a millisecond or two.
 */

import { closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Database, open, type RootDatabase } from 'lmdb';
import { asHoldfastError, HoldfastError } from '../core/index.ts';
import { type Lock, lockFolder } from '../lock/index.ts';
import { residentFileBytes } from './mapped.ts';
import type { KeyValueStore, Table, Write } from './port.ts';

const NODE_TABLES: readonly Table[] = ['record', 'bucket', 'meta'];
/** ENOSPC, EFBIG and EDQUOT as Linux numbers them, and LMDB's own "map full". A write cut short it reports as EIO (5). */
const FULL_CODES: readonly unknown[] = [28, 27, 122, -30792];

/** Bytes of files that may become resident before the store is mapped anew, which leaves some 130 kB to the collector each time. */
const MOST_MAPPED = 16 * 2 ** 20;
/** Entries that are read or written between two looks at that: one takes 5 microseconds. */
const BETWEEN_LOOKS = 8;

type BinaryTable = Database<Uint8Array, Uint8Array>;

/** Closing and opening again is all that helps; what was reported as committed is safe either way. */
const RESTART = 'Restart this process; nothing that was acknowledged is lost.';

class LmdbKeyValueStore<T extends string> implements KeyValueStore<T> {
  readonly #folder: string;
  readonly #lock: Lock;
  readonly #names: readonly T[];
  #environment: RootDatabase;
  #tables: Record<T, BinaryTable>;
  /** The commit under way, settled either way: commits run one after another, each its own transaction. */
  #last: Promise<unknown> = Promise.resolve();
  #ended: string | undefined;
  /** Bytes of files in this process when the store was mapped last; undefined where the system does not say. */
  #residentBefore: number | undefined;
  #uses = 0;
  #releasing = false;
  /** Tables that are being read from one end to the other, which a new map would end. */
  #iterating = 0;

  constructor(folder: string, lock: Lock, tables: readonly T[]) {
    this.#folder = folder;
    this.#lock = lock;
    this.#names = tables;
    this.#environment = openEnvironment(folder, tables.length, true);
    this.#tables = openTables(this.#environment, tables);
    this.#residentBefore = residentFileBytes();
  }

  get(table: T, key: Uint8Array): Uint8Array | undefined {
    this.#check();
    this.#used(1);
    try {
      const value = this.#tables[table].getBinary(key);
      // A plain Uint8Array: `slice` of a Buffer would not copy.
      return value && new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    } catch (cause) {
      throw this.#readFailed(cause);
    }
  }

  *entries(table: T, after?: Uint8Array): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    this.#check();
    const range = after ? { start: after, exclusiveStart: true } : {};
    this.#iterating++;
    try {
      for (const { key, value } of this.#tables[table].getRange(range)) {
        yield [new Uint8Array(key), new Uint8Array(value)];
      }
    } catch (cause) {
      throw cause instanceof HoldfastError ? cause : this.#readFailed(cause);
    } finally {
      this.#iterating--;
    }
  }

  commit(writes: readonly Write<T>[]): Promise<void> {
    const result = this.#last.then(() => this.#commit(writes));
    this.#last = result.catch(() => undefined);
    return result;
  }

  release(readingOn = false): Promise<void> {
    const result = this.#last.then(() => this.#mapAnew(readingOn));
    this.#last = result.catch(() => undefined);
    return result;
  }

  size(): number {
    return statSync(join(this.#folder, 'data.mdb')).size;
  }

  async close(): Promise<void> {
    await this.#last;
    this.#ended ??= 'The state store has been closed.';
    await this.#environment.close();
    this.#lock.release();
  }

  async #commit(writes: readonly Write<T>[]): Promise<void> {
    this.#check();
    if (writes.length === 0) return;
    this.#used(writes.length);
    const before = this.#transactionNumber();
    try {
      await this.#environment.batch(() => {
        for (const { table, key, value } of writes) {
          if (value === undefined) this.#tables[table].remove(key);
          else this.#tables[table].put(key, value);
        }
      });
    } catch (thrown) {
      throw this.#writeFailed(await reasonOf(thrown), before);
    }
  }

  /**
   * Closes the file and opens it again, after which no page of it is in this process. What is asked for between the two
   * could not be answered, so all of it happens in one turn of the event loop that nobody else has a part in: with no
   * transaction under way, closing waits for nothing but promises that are settled.
   */
  async #mapAnew(readAhead: boolean): Promise<void> {
    await setImmediate();
    this.#check();
    if (this.#iterating > 0) return;
    try {
      await this.#environment.close();
      this.#environment = openEnvironment(this.#folder, this.#names.length, readAhead);
      this.#tables = openTables(this.#environment, this.#names);
    } catch (cause) {
      this.#ended = `The state store in ${this.#folder} could not be opened again. Check the folder and its disk.`;
      throw new HoldfastError('unexpected', `${this.#ended} ${RESTART}`, { cause, details: { folder: this.#folder } });
    }
    this.#residentBefore = residentFileBytes();
  }

  /** Looks now and then at how much of the file has become resident. */
  #used(entries: number): void {
    this.#uses += entries;
    if (this.#uses < BETWEEN_LOOKS || this.#residentBefore === undefined) return;
    this.#uses = 0;
    const grown = (residentFileBytes() ?? 0) - this.#residentBefore;
    if (grown < MOST_MAPPED || this.#releasing) return;
    this.#releasing = true;
    // Where that fails, whoever uses the store next is told.
    void this.release()
      .catch(() => undefined)
      .finally(() => {
        this.#releasing = false;
      });
  }

  /**
   * After a failed commit. Where LMDB dropped the transaction before it touched the meta page, nothing was applied and a
   * later commit may succeed: it writes its pages anew, so a failed sync of the dropped ones does not matter. Otherwise
   * it is unclear what the disk holds, and this handle refuses all further use.
   */
  #writeFailed(cause: unknown, before: number): HoldfastError {
    const details = { folder: this.#folder, reason: asHoldfastError(cause).message };
    try {
      // Throws where LMDB has marked the environment as broken, which a further batch would wait on for ever.
      this.#environment.transactionSync(() => undefined);
      if (this.#transactionNumber() === before) {
        const full = FULL_CODES.includes((cause as { code?: unknown }).code);
        const message = `The disk of the state store in ${this.#folder} is full${full ? '' : ' or failing'}.`;
        return new HoldfastError('unexpected', `${message} Free some space${full ? '' : ', check the disk'}.`, {
          cause,
          details: { ...details, applied: false },
        });
      }
    } catch {
      // Falls through to the refusal.
    }
    this.#ended = `The state store in ${this.#folder} failed while writing. Check the disk.`;
    return new HoldfastError('unexpected', `${this.#ended} ${RESTART}`, { cause, details });
  }

  #readFailed(cause: unknown): HoldfastError {
    const message = `The state store in ${this.#folder} cannot be read: ${asHoldfastError(cause).message}.`;
    return new HoldfastError('unexpected', `${message} Check the disk.`, { cause, details: { folder: this.#folder } });
  }

  #transactionNumber(): number {
    return (this.#environment.getStats() as { lastTxnId: number }).lastTxnId;
  }

  #check(): void {
    if (this.#ended !== undefined) throw new HoldfastError('unexpected', `${this.#ended} ${RESTART}`);
  }
}

/** @param readAhead whether what lies beside a page that is read will be wanted too. */
function openEnvironment(folder: string, tables: number, readAhead: boolean): RootDatabase {
  return open({
    path: folder,
    noSubdir: false,
    maxDbs: tables,
    noReadAhead: !readAhead,
    overlappingSync: false,
    // Batching across an event turn makes promises that nobody holds: a second failed commit would end the process.
    eventTurnBatching: false,
    // No `mapSize`: the map then grows with the data.
    permissionsMode: 0o600,
  } as Parameters<typeof open>[0]);
}

function openTables<T extends string>(environment: RootDatabase, names: readonly T[]): Record<T, BinaryTable> {
  const table = (name: T): BinaryTable => environment.openDB({ name, encoding: 'binary', keyEncoding: 'binary' });
  return Object.fromEntries(names.map((name) => [name, table(name)])) as Record<T, BinaryTable>;
}

/** lmdb-js rejects with a general error that carries a promise rejecting with the reason. */
async function reasonOf(thrown: unknown): Promise<unknown> {
  const { commitError } = thrown as { commitError?: Promise<unknown> };
  if (commitError === undefined) return thrown;
  return commitError.then(
    () => thrown,
    (reason: unknown) => reason,
  );
}

/**
 * Opens the store in `folder`, made with mode 0700 where it does not exist; the files in it have mode 0600. `tables`
 * are a node's unless others are named; a folder keeps the tables that it was made with.
 * @throws HoldfastError `not_ready` where another process uses the folder, `unexpected` where it cannot be opened.
 */
export async function openLmdbStore<T extends string = Table>(
  folder: string,
  tables: readonly T[] = NODE_TABLES as readonly string[] as readonly T[],
): Promise<KeyValueStore<T>> {
  let lock: Lock | undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    lock = lockFolder(folder);
    const store = new LmdbKeyValueStore(folder, lock, tables);
    syncFolder(folder);
    syncFolder(dirname(folder));
    return store;
  } catch (cause) {
    lock?.release();
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError(
      'unexpected',
      `The state store in ${folder} cannot be opened: ${asHoldfastError(cause).message}. Check the folder and its disk.`,
      { cause, details: { folder } },
    );
  }
}

/** New files are durable only once their folder is. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
