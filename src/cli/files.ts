/** The small files that commands read and write: read with a bound, written whole or not at all. */

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, type FileHandle, link, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { concatBytes, fromUtf8, HoldfastError } from '../core/index.ts';
import { homeFolder } from './home.ts';

/**
 * Bytes of a file of at most `maximum` bytes.
 * @throws HoldfastError `usage` if it cannot be read, `bad_input` if it is larger.
 */
export async function readSmallFile(path: string, what: string, maximum: number): Promise<Uint8Array> {
  try {
    await using file = await open(path, 'r');
    return await readBounded(file, maximum);
  } catch (cause) {
    if (cause instanceof TooMuch) {
      throw new HoldfastError('bad_input', `${what} ${quote(path)} has more than ${maximum} bytes`);
    }
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('usage', `cannot read ${what} ${quote(path)}: ${reasonOf(cause)}`, { cause });
  }
}

class TooMuch extends Error {}

/** What a size says is not asked: a device or a pipe has none, and a file may grow. */
async function readBounded(file: FileHandle, maximum: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const part = new Uint8Array(Math.min(maximum + 1 - length, CHUNK));
    const { bytesRead } = await file.read(part, 0, part.length, null);
    if (bytesRead === 0) return concatBytes(...parts);
    length += bytesRead;
    if (length > maximum) throw new TooMuch();
    parts.push(part.subarray(0, bytesRead));
  }
}

/** Bytes that are read at a time. */
const CHUNK = 65_536;

/** The same as text. @throws HoldfastError `bad_input` also for what is not UTF-8. */
export async function readTextFile(path: string, what: string, maximum: number): Promise<string> {
  const bytes = await readSmallFile(path, what, maximum);
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw new HoldfastError('bad_input', `${what} ${quote(path)} is not text in UTF-8`, { cause });
  }
}

export interface WriteOptions {
  /** File mode, for example 0o600. */
  readonly mode: number;
  /** Whether a file of that name may be replaced. */
  readonly overwrite: boolean;
}

/**
 * Writes a file durably: a name beside it first, then renamed or linked into place.
 * @throws HoldfastError `usage` if it exists and may not be replaced, or cannot be written.
 */
export async function writeWholeFile(path: string, content: Uint8Array | string, options: WriteOptions): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path).slice(0, 80)}.${randomBytes(6).toString('hex')}`);
  try {
    await using file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, options.mode);
    await file.writeFile(content);
    await file.sync();
    if (options.overwrite) await rename(temporary, path);
    else await link(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    const exists = (cause as { code?: unknown } | null)?.code === 'EEXIST';
    const reason = exists ? 'exists already; nothing was written' : `cannot be written: ${reasonOf(cause)}`;
    throw new HoldfastError('usage', `${quote(path)} ${reason}`, { cause });
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * A name is durable once its folder is: what a command says is written must outlast a power cut. A folder that this user may
 * write to and not read has to do without.
 */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EACCES') return undefined;
    throw error;
  });
  if (!folder) return;
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Looks, before a person is asked for anything, at whether `writeWholeFile` could begin.
 * @throws HoldfastError `usage` as `writeWholeFile`.
 */
export async function checkWritable(path: string, { overwrite }: Pick<WriteOptions, 'overwrite'>): Promise<void> {
  if (path === '' || path.endsWith('/')) throw new HoldfastError('usage', `${quote(path)} is no name of a file`);
  const found = await lstat(path).catch(() => undefined);
  if (found && !overwrite) throw new HoldfastError('usage', `${quote(path)} exists already; nothing was written`);
  if (found?.isDirectory()) throw new HoldfastError('usage', `${quote(path)} cannot be written: it is a folder`);
  await access(dirname(path), constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw new HoldfastError('usage', `${quote(path)} cannot be written: ${reasonOf(cause)}`, { cause });
  });
}

/** Makes the folder that a file will be in, for its owner only. */
export async function makeParent(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
}

/** @param otherwise what to do where there is none. @throws HoldfastError `usage`. */
export function requireHome(otherwise: string): string {
  const home = homeFolder();
  if (home === undefined) throw new HoldfastError('usage', `this user has no home folder; ${otherwise}`);
  return home;
}

export function quote(path: string): string {
  return JSON.stringify(path);
}

/**
 * What `parse` makes of a file's text; an error of its own says which file it is about.
 * @throws HoldfastError as `readTextFile` and `parse`.
 */
export async function readParsed<T>(
  path: string,
  what: string,
  maximum: number,
  parse: (text: string) => T,
): Promise<T> {
  const text = await readTextFile(path, what, maximum);
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause;
    const { code, message, details } = cause;
    throw new HoldfastError(code, `${what} ${quote(path)}: ${message}`, { cause, details });
  }
}

/** What people can do something about, by the system's names of errors (errno(3)). */
const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'this user is not allowed to',
  EPERM: 'this user is not allowed to',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  ENAMETOOLONG: 'the name is too long',
  EMFILE: 'too many files are open',
};

/** Why the system refused something, in words and by its own name. */
export function reasonOf(thrown: unknown): string {
  const { code } = (thrown ?? {}) as { code?: unknown };
  if (typeof code !== 'string') return 'an error';
  return Object.hasOwn(REASONS, code) ? `${REASONS[code]} (${code})` : code;
}
