/** Reading the files that a configuration names. */

import { readFile } from 'node:fs/promises';
import { HoldfastError } from '../core/index.ts';

/** `what` says to a person which file it is. @throws HoldfastError `usage`. */
export async function readNamedFile(what: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `${what}, ${path}, cannot be read; check its path and its mode`, { cause });
  }
}
