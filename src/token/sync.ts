/**
 * Puts a file-backed token's changes on stable storage. SoftHSM 2.6.1 rewrites its object files in place and never calls
 * fsync: without this a power cut may take back anchors that were acknowledged, and the node must then repair.
 */

import { closeSync, fstatSync, fsyncSync, openSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SEARCH_EVERY = 256;

export class FolderSync {
  readonly #folder: string;
  /** Modification time in nanoseconds of each file when it was last synced. */
  readonly #synced = new Map<string, bigint>();
  /** Files that have changed before, and all folders. */
  readonly #busy = new Set<string>();
  readonly #folders = new Set<string>();
  #calls = 0;

  /** @param folder the token's folder (SoftHSM's directories.tokendir). */
  constructor(folder: string) {
    this.#folder = folder;
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
    if (found || path === this.#folder) return found?.mtimeNs !== this.#synced.get(path);
    // Throwaway objects of other sessions come and go; their folder's own sync covers that they are gone.
    for (const known of [this.#busy, this.#folders, this.#synced]) known.delete(path);
    return false;
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
      const { mtimeNs } = fstatSync(file, { bigint: true });
      fsyncSync(file);
      if (this.#synced.has(path)) this.#busy.add(path);
      this.#synced.set(path, mtimeNs);
    } finally {
      closeSync(file);
    }
  }
}
