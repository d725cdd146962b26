/**
 * Puts a file-backed token's changes on stable storage. SoftHSM 2.6.1 rewrites its object files in place and never calls
 * fsync: without this a power cut may take back anchors that were acknowledged, and the node must then repair.
 */

import {
  type BigIntStats,
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../core/index.ts';

const SEARCH_EVERY = 256;
/**
 * Milliseconds within which two changes may bear the same modification time: file systems take it from the kernel's
 * clock of 1 to 10 ms (Linux before 6.13).
 */
const TIME_GRAIN = 20;
/** Bytes of a file that are kept to see whether it has changed within that time; an anchor's object has about 1,000. */
const KEEP_CONTENT = 65_536;

const EMPTY = Buffer.alloc(0);

/** A file or folder as it was when it was synced. */
interface Synced {
  readonly modified: bigint;
  /** Whether every later change shows in the modification time. */
  sure: boolean;
  /** Undefined for folders and large files. */
  readonly content: Buffer | undefined;
}

/**
 * Syncs everything in a token's folder, once.
 * @throws HoldfastError `token_failed` where the disk fails.
 */
export function syncTokenFolder(folder: string): void {
  try {
    new FolderSync(folder).sync();
  } catch (cause) {
    throw new HoldfastError('token_failed', 'the token’s folder could not be synced; check its disk', { cause });
  }
}

export class FolderSync {
  readonly #folder: string;
  readonly #now: () => number;
  readonly #synced = new Map<string, Synced>();
  /** Files that have changed before, and all folders. */
  readonly #busy = new Set<string>();
  readonly #folders = new Set<string>();
  #calls = 0;

  /**
   * @param folder the token's folder (SoftHSM's directories.tokendir).
   * @param now milliseconds since 1970, on the clock of the file system.
   */
  constructor(folder: string, now: () => number = Date.now) {
    this.#folder = folder;
    this.#now = now;
  }

  /**
   * Syncs every file and folder that changed since the last call. @returns how many. @throws what the file system throws.
   * Waits for the disk: for the thread that calls the token, which has nothing else to do meanwhile.
   *
   * A token rewrites the same few files for each anchor, so those are looked at first; a new file changes its folder. The
   * whole folder is searched where none of them changed, and now and then in any case.
   */
  sync(): number {
    const changed = this.#calls++ % SEARCH_EVERY === 0 ? [] : [...this.#busy].filter((path) => this.#changed(path));
    const paths = changed.length > 0 && !changed.some((path) => this.#folders.has(path)) ? changed : this.#search();
    for (const path of paths) this.#syncOne(path);
    return paths.length;
  }

  #search(): string[] {
    const entries = readdirSync(this.#folder, { recursive: true, withFileTypes: true });
    this.#folders.add(this.#folder);
    for (const entry of entries) if (entry.isDirectory()) this.#folders.add(join(entry.parentPath, entry.name));
    for (const path of this.#folders) this.#busy.add(path);
    const files = entries.map((entry) => join(entry.parentPath, entry.name));
    return [this.#folder, ...files].filter((path) => this.#changed(path));
  }

  #changed(path: string): boolean {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (found || path === this.#folder) return !this.#unchanged(path, found);
    // Throwaway objects of other sessions come and go; their folder's own sync covers that they are gone.
    for (const known of [this.#busy, this.#folders, this.#synced]) known.delete(path);
    return false;
  }

  #unchanged(path: string, found: BigIntStats | undefined): boolean {
    const synced = this.#synced.get(path);
    if (!synced || !found || synced.modified !== found.mtimeNs) return false;
    if (synced.sure) return true;
    // Looked at before the content is: what changes after that moment has another time.
    const sure = this.#isPast(found.mtimeNs);
    if (!synced.content || BigInt(synced.content.length) !== found.size) return false;
    // Of two files for an anchor's object one is a lock, and empty.
    if (found.size > 0n && !synced.content.equals(readFileSync(path))) return false;
    synced.sure = sure;
    return true;
  }

  /** Whether a change that comes now gets another modification time. */
  #isPast(modified: bigint): boolean {
    return this.#now() - Number(modified / 1_000_000n) > TIME_GRAIN;
  }

  #syncOne(path: string): void {
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && path !== this.#folder) return;
      throw error;
    }
    try {
      const found = fstatSync(file, { bigint: true });
      const modified = found.mtimeNs;
      const sure = this.#isPast(modified);
      let content: Buffer | undefined;
      if (found.isFile()) {
        if (found.size <= KEEP_CONTENT) content = found.size === 0n ? EMPTY : readFileSync(file);
        // All but the times: those of a lock are its only change each time, and would cost a transaction of the file system.
        fdatasyncSync(file);
      } else fsyncSync(file);
      if (this.#synced.has(path)) this.#busy.add(path);
      this.#synced.set(path, { modified, sure, content });
    } finally {
      closeSync(file);
    }
  }
}
