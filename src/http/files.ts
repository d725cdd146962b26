/** Reading the files that a configuration names. */

import { open, readFile } from 'node:fs/promises';
import { HoldfastError } from '../core/index.ts';

/** `what` says to a person which file it is. @throws HoldfastError `usage`. */
export async function readNamedFile(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `${what}, ${path}, cannot be read; check its path and its mode`, { cause });
  }
}

/**
 * One line of text that is nobody else's: without its line break.
 * @throws HoldfastError `usage` where it cannot be read, or others than its owner and group could read or write it.
 */
export async function readPrivateFile(what: string, path: string): Promise<string> {
  const wrong = (problem: string, cause?: unknown) =>
    new HoldfastError('usage', `${what}, ${path}, ${problem}`, cause === undefined ? {} : { cause });
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw wrong('cannot be read; check its path and its mode', cause);
  });
  try {
    // The open file is examined, not the path: it cannot be exchanged in between.
    const status = await file.stat();
    if (!status.isFile()) throw wrong('is no plain file');
    if ((status.mode & 0o027) !== 0) throw wrong('can be read or written by others; chmod 600 it and make a new one');
    if (status.size > MAXIMUM_LINE) throw wrong('is too long');
    return (await file.readFile('utf8')).replace(/\r?\n$/, '');
  } finally {
    await file.close();
  }
}

/** Bytes. */
const MAXIMUM_LINE = 4096;
