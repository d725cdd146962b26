/**
 * Exclusive use of a folder by one process, with a lock that the operating system drops when its holder dies.
 *
 * Node.js offers no file locks of its own; SQLite, which it brings along, takes POSIX locks. An exclusive transaction on
 * an otherwise empty database file is therefore the lock. It also holds between containers that share the folder, where
 * process numbers say nothing.
 */

import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { HoldfastError } from '../core/index.ts';

export interface FolderLock {
  release(): void;
}

const SQLITE_BUSY = 5;

/** @throws HoldfastError `not_ready` where another process, or this one, already uses `folder`. */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, 'in-use.lock');
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    chmodSync(path, 0o600);
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw cause;
    throw new HoldfastError(
      'not_ready',
      `Another process is using the state store in ${folder}. Stop it, or give this node a folder of its own.`,
      { cause, details: { folder } },
    );
  }
  return { release: () => database.close() };
}
