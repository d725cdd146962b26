/** Moves a restored tree into an existing folder without following a symbolic link, after checking that all of it will fit. */

import type { Stats } from 'node:fs';
import { lstat, readdir, rename } from 'node:fs/promises';
import { HoldfastError } from '../core/index.ts';
import { type ByteString, byteString, nativePath, printablePath } from './names.ts';
import { systemCode, systemReason } from './report.ts';

interface Move {
  readonly from: ByteString;
  readonly to: ByteString;
}

/**
 * Moves everything in `from` into `into`. Folders are joined; files and links replace what has their name.
 * @throws HoldfastError `usage`, before anything was moved, if a folder would replace a file or link, or the reverse;
 *   `unexpected` if the system refuses a move, saying which.
 */
export async function merge(from: string, into: string): Promise<void> {
  const start = { from: byteString(from), to: byteString(into) };
  for await (const _ of moves(start)) {
    // Only looking: `moves` throws on a conflict.
  }
  for await (const move of moves(start)) {
    try {
      await rename(nativePath(move.from), nativePath(move.to));
    } catch (cause) {
      const message = `cannot move what was restored to ${printablePath(move.to)}: ${systemReason(cause)}`;
      throw new HoldfastError('unexpected', message, { cause });
    }
  }
}

async function* moves(folder: Move): AsyncGenerator<Move> {
  for (const name of await readdir(nativePath(folder.from), { encoding: 'buffer' })) {
    const part = name.toString('latin1');
    const move = { from: `${folder.from}/${part}`, to: `${folder.to}/${part}` };
    const source = await lstat(nativePath(move.from));
    const existing = await existingAt(move.to);
    if (existing === undefined) yield move;
    else if (source.isDirectory() !== existing.isDirectory()) {
      const message = `${printablePath(move.to)} is in the way: one is a folder and the other is not; move it aside`;
      throw new HoldfastError('usage', message);
    } else if (source.isDirectory()) yield* moves(move);
    else yield move;
  }
}

async function existingAt(path: ByteString): Promise<Stats | undefined> {
  try {
    return await lstat(nativePath(path));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new HoldfastError('usage', `cannot look at ${printablePath(path)}: ${systemReason(error)}`, { cause: error });
  }
}
