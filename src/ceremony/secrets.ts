/** Small files of a ceremony's folder: secrets that exist for a while, and what is published. Whole or not there. */

import { randomBytes } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HoldfastError, type Secret } from '../core/index.ts';
import { syncFolder } from './file.ts';

/**
 * Writes a file durably under a name that was free, for its owner only unless `mode` says otherwise.
 * @throws HoldfastError `usage` if there is such a file.
 */
export async function writeNew(path: string, content: Uint8Array | string, mode = 0o600): Promise<void> {
  await place(path, content, mode, link);
}

/** The same in the place of whatever is there. */
export async function writeOver(path: string, content: Uint8Array | string, mode = 0o644): Promise<void> {
  await place(path, content, mode, rename);
}

async function place(
  path: string,
  content: Uint8Array | string,
  mode: number,
  put: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = join(folder, `.${basename(path).slice(0, 80)}.${randomBytes(6).toString('hex')}`);
  try {
    await using file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
    await file.writeFile(content);
    await file.sync();
    await put(temporary, path);
    await syncFolder(folder);
  } catch (cause) {
    const { code } = cause as { code?: unknown };
    const problem = code === 'EEXIST' ? 'is there already; nothing was written' : `cannot be written (${String(code)})`;
    throw new HoldfastError('usage', `${JSON.stringify(path)} ${problem}`, { cause });
  } finally {
    await rm(temporary, { force: true });
  }
}

/** A PIN's file, with one line break. */
export async function writePin(path: string, pin: Secret): Promise<void> {
  const bytes = Buffer.concat([pin.reveal(), Buffer.from('\n')]);
  try {
    await writeNew(path, bytes);
  } finally {
    bytes.fill(0);
  }
}

/**
 * Overwrites a file's bytes and removes it; what a file system keeps of the old ones, nobody here can know.
 * @throws HoldfastError `unexpected` if it is still there.
 */
export async function destroyFile(path: string): Promise<void> {
  if (existsSync(path)) {
    const { length } = await readFile(path);
    await using file = await open(path, constants.O_WRONLY);
    await file.write(randomBytes(length), 0, length, 0);
    await file.sync();
  }
  await rm(path, { force: true });
  await syncFolder(dirname(path));
  if (existsSync(path)) {
    throw new HoldfastError('unexpected', `${JSON.stringify(path)} cannot be removed; remove it, and go on`);
  }
}
