/**
 * Puts a file-backed token's changes on stable storage. SoftHSM 2.6.1 rewrites its object files in place and never calls
 * fsync: without this a power cut may take back anchors that were acknowledged, and the node must then repair.
 */

import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

export class FolderSync {
  readonly #folder: string;
  /** Modification time in nanoseconds of each file when it was last synced. */
  readonly #synced = new Map<string, bigint>();

  /** @param folder the token's folder (SoftHSM's directories.tokendir). */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Syncs every file and folder that changed since the last call. @returns how many. @throws what the file system throws. */
  async sync(): Promise<number> {
    const entries = await readdir(this.#folder, { recursive: true, encoding: 'utf8' });
    const paths = [this.#folder, ...entries.map((entry) => join(this.#folder, entry))];
    const results = await Promise.all(paths.map((path) => this.#syncOne(path)));
    return results.filter((changed) => changed).length;
  }

  async #syncOne(path: string): Promise<boolean> {
    try {
      const { mtimeNs } = await stat(path, { bigint: true });
      if (this.#synced.get(path) === mtimeNs) return false;
      const handle = await open(path, 'r');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
      this.#synced.set(path, mtimeNs);
      return true;
    } catch (error) {
      // Throwaway objects of other sessions come and go; their folder's own sync covers that they are gone.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && path !== this.#folder) return false;
      throw error;
    }
  }
}
