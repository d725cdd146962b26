/** Finds what belongs into a backup: walks files and folders without ever following a symbolic link. */

import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { compareBytes, HoldfastError } from '../core/index.ts';
import { type ByteString, byteString, nativePath, printablePath } from './names.ts';
import { printable, requirePath, systemCode, systemReason, throwIfCancelled, type Warnings } from './report.ts';

/** One thing to store. */
export interface Found {
  /** Where it is. */
  readonly path: ByteString;
  /** Its name in the archive: relative, with `/` between the parts. */
  readonly name: ByteString;
  readonly stats: BigIntStats;
}

export interface WalkOptions {
  /** Turns what cannot be read into a warning. */
  readonly skipUnreadable: boolean;
  readonly warnings: Warnings;
  readonly signal: AbortSignal | undefined;
}

interface Pending {
  readonly path: ByteString;
  readonly name: ByteString;
  readonly isArgument: boolean;
}

/** The key by which a file is known under any of its names: device and inode. */
export const fileKey = (stats: BigIntStats): string => `${stats.dev}:${stats.ino}`;

/**
 * The archive's top-level name for each of `paths`: the last part of the path, so nothing absolute and no `..` is stored.
 * @throws HoldfastError `usage` if there is none, or if two would get the same name.
 */
export function namesOf(paths: readonly string[]): { path: ByteString; name: ByteString }[] {
  if (paths.length === 0) throw new HoldfastError('usage', 'name at least one file or folder to back up');
  const seen = new Map<string, string>();
  return paths.map((given) => {
    requirePath(given, 'a path to back up');
    const path = resolve(given);
    const name = basename(path);
    const other = seen.get(name);
    if (other !== undefined) {
      const both = `${printable(other)} and ${printable(given)}`;
      throw new HoldfastError('usage', `${both} would get the same name in the backup; back up their parent folder`);
    }
    seen.set(name, given);
    return { path: byteString(path), name: byteString(name) };
  });
}

/**
 * Reports something that cannot be read.
 * @throws HoldfastError `bad_input` naming it, unless unreadable things are to be skipped.
 */
export function unreadable(options: WalkOptions, path: ByteString, reason: string, cause?: unknown): void {
  if (options.skipUnreadable) {
    options.warnings.add(`skipped ${printablePath(path)}: ${reason}`);
    return;
  }
  const tooLong = systemCode(cause) === 'ENAMETOOLONG';
  const remedy = tooLong ? 'move it further up, or give its folders shorter names' : 'make it readable';
  const message = `cannot read ${printablePath(path)}: ${reason}; ${remedy}, leave it out, or use --skip-unreadable`;
  throw new HoldfastError('bad_input', message, {
    cause,
    details: { path: nativePath(path).toString('utf8') },
  });
}

/**
 * Everything under `paths`, folders before their contents, each folder sorted by the bytes of its names.
 * Memory: one folder's listing for each level.
 */
export async function* walk(paths: readonly string[], options: WalkOptions): AsyncGenerator<Found> {
  const pending: Pending[] = namesOf(paths)
    .map((argument) => ({ ...argument, isArgument: true }))
    .reverse();
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    throwIfCancelled(options.signal);
    const stats = await statOf(next, options);
    if (stats === undefined) continue;
    if (stats.isFile() || stats.isSymbolicLink()) {
      yield { path: next.path, name: next.name, stats };
      if (next.isArgument && stats.isSymbolicLink()) {
        options.warnings.add(
          `${printablePath(next.path)} is a symbolic link: only the link is stored, not what it points to`,
        );
      }
    } else if (stats.isDirectory()) {
      // A file system's root has no name of its own: its contents stand at the top.
      if (next.name !== '') yield { path: next.path, name: next.name, stats };
      const names = await listing(next.path, options);
      for (const name of names.reverse()) {
        pending.push({
          path: next.path === '/' ? `/${name}` : `${next.path}/${name}`,
          name: next.name === '' ? name : `${next.name}/${name}`,
          isArgument: false,
        });
      }
    } else {
      options.warnings.add(`skipped ${printablePath(next.path)}: it is a ${specialKind(stats)}`);
    }
  }
}

async function statOf(entry: Pending, options: WalkOptions): Promise<BigIntStats | undefined> {
  try {
    return await lstat(nativePath(entry.path), { bigint: true });
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && !entry.isArgument) {
      options.warnings.add(`skipped ${printablePath(entry.path)}: it was removed meanwhile`);
    } else {
      unreadable(options, entry.path, systemReason(error), error);
    }
    return undefined;
  }
}

async function listing(path: ByteString, options: WalkOptions): Promise<ByteString[]> {
  try {
    const names = await readdir(nativePath(path), { encoding: 'buffer' });
    return names.sort(compareBytes).map((name) => name.toString('latin1'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      options.warnings.add(`skipped ${printablePath(path)}: it was removed meanwhile`);
    } else unreadable(options, path, systemReason(error), error);
    return [];
  }
}

function specialKind(stats: BigIntStats): string {
  if (stats.isSocket()) return 'socket';
  if (stats.isFIFO()) return 'named pipe';
  return 'device';
}
