/**
 * Exclusive use of a folder or file by one process, with a lock that the operating system drops when its holder dies.
 *
 * Node.js offers no file locks of its own; SQLite, which it brings along, takes POSIX locks. An exclusive transaction on
 * an otherwise empty database file is therefore the lock. It also holds between containers that share the folder, where
 * process numbers say nothing.
 */

import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { HoldfastError } from '../core/index.ts';

export interface Lock {
  release(): void;
}

const SQLITE_BUSY = 5;
const RETRY_MILLISECONDS = 50;

/** Undefined where another process, or this one, holds it. */
function tryLock(path: string): Lock | undefined {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    chmodSync(path, 0o600);
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw cause;
    return undefined;
  }
  return { release: () => database.close() };
}

/** @throws HoldfastError `not_ready` where another process, or this one, already uses `folder`. */
export function lockFolder(folder: string): Lock {
  const lock = tryLock(join(folder, 'in-use.lock'));
  if (lock) return lock;
  throw new HoldfastError(
    'not_ready',
    `Another process is using the state store in ${folder}. Stop it, or give this node a folder of its own.`,
    { details: { folder } },
  );
}

/**
 * Waits for `file` to be free; the lock is a file beside it, `<file>.lock`.
 * @param patience milliseconds.
 * @throws HoldfastError `not_ready` where it is in use for longer than that, `cancelled`.
 */
export async function lockFile(file: string, patience: number, signal?: AbortSignal): Promise<Lock> {
  const end = performance.now() + patience;
  for (;;) {
    const lock = tryLock(`${file}.lock`);
    if (lock) return lock;
    if (performance.now() >= end) {
      throw new HoldfastError('not_ready', `${JSON.stringify(file)} is in use by another process; wait for it to end`, {
        details: { file },
      });
    }
    await setTimeout(RETRY_MILLISECONDS, undefined, { ...(signal && { signal }) }).catch((cause: unknown) => {
      throw new HoldfastError('cancelled', 'cancelled', { cause });
    });
  }
}
