/**
 * A new segment for a signing journal that has grown. The rule that no second signature gets through rests on this order, of
 * which every step is on stable storage before the next begins:
 *
 * 1. `<journal>.next` is written whole: its first line carries over what all segments so far come to.
 * 2. The segment that ends gets a second name, `<journal>.<number>`.
 * 3. `<journal>.next` is renamed to `<journal>`, which at every moment is one of the two, whole.
 *
 * Nothing is appended between 1 and the end of 3. Whoever opens the journal after a crash goes on with what `<journal>` is: the
 * segment that was to end, whose second name is taken away again, or the new one, with all that it has to know.
 */

import { constants } from 'node:fs';
import { type FileHandle, link, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { SegmentHead } from './journal-format.ts';
import { segmentPath, unusable } from './journal-read.ts';

/** What rotation asks of the file system; tests have one that ends between two calls. */
export interface JournalFiles {
  /** Writes a new file, mode 600, and makes its content durable. */
  create(path: string, content: Uint8Array): Promise<void>;
  link(from: string, to: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes names in a folder durable. */
  syncFolder(path: string): Promise<void>;
}

export const realFiles: JournalFiles = {
  async create(path, content) {
    await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    await file.writeFile(content);
    await file.sync();
  },
  link,
  rename,
  remove: (path) => rm(path, { force: true }),
  async syncFolder(path) {
    await using folder = await open(path, 'r');
    await folder.sync();
  },
};

const nextPath = (path: string): string => `${path}.next`;

/**
 * Rotates: `path` is a new segment that begins with `line`. The caller has all of the old one on stable storage, appends
 * nothing meanwhile, and closes its handle of the old one afterwards.
 * @param ending number of the segment that ends.
 * @returns false where nothing was done, because there is no room, or the file system has no second names for a file.
 * @throws whatever the file system throws once it cannot be known any more which of the two stands there.
 */
export async function rotate(path: string, ending: number, line: Uint8Array, files: JournalFiles): Promise<boolean> {
  const [next, old, folder] = [nextPath(path), segmentPath(path, ending), dirname(path)];
  try {
    await files.create(next, line);
    await files.syncFolder(folder);
    await files.link(path, old);
  } catch {
    // Nothing has changed that counts: the journal goes on as it is.
    await files.remove(next);
    return false;
  }
  await files.syncFolder(folder);
  await files.rename(next, path);
  await files.syncFolder(folder);
  return true;
}

/**
 * Ends what a crash has left of a rotation, before the journal is written to. The caller syncs the folder.
 * @param file the journal, opened. @param head its first line; undefined where it has none.
 * @throws HoldfastError `journal_damaged` where finished segments say that this is not the newest.
 */
export async function settle(
  path: string,
  file: FileHandle,
  head: Pick<SegmentHead, 'segment'> | undefined,
  files: JournalFiles,
): Promise<void> {
  await files.remove(nextPath(path));
  const newest = Math.max(0, ...(await segmentsBeside(path)));
  const segment = head?.segment ?? 0;
  if (newest < segment || newest === 0) return;
  const [own, finished] = await Promise.all([
    file.stat({ bigint: true }),
    stat(segmentPath(path, newest), { bigint: true }),
  ]);
  if (newest !== segment || own.ino !== finished.ino || own.dev !== finished.dev) {
    throw unusable(
      `${JSON.stringify(path)} is older than its segment ${newest}, or another one: keep all of its files, and put back the newest`,
    );
  }
  // It was to end, and did not: it has one name again, which goes on.
  await files.remove(segmentPath(path, newest));
}

/** Numbers of the segments that lie beside a journal. */
async function segmentsBeside(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  return names.flatMap((name) => {
    const number = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    return /^[1-9][0-9]{0,8}$/.test(number) ? [Number(number)] : [];
  });
}
