/** What a backup tells its caller while it runs and when it ends: progress, warnings, and file names fit to print. */

import { HoldfastError } from '../core/index.ts';

/** One step of progress. Sizes are in bytes. */
export interface Progress {
  readonly bytes: number;
  /** The size to reach, where it is known beforehand. It may be off when files change meanwhile. */
  readonly totalBytes?: number;
  /** Files, folders and links handled so far. */
  readonly entries: number;
}

export type OnProgress = (progress: Progress) => void;

/** At most this many warnings are kept, so that memory stays constant; `count` goes on counting. */
const MAXIMUM_WARNINGS = 1000;

/** Warnings in the order they came up. */
export class Warnings {
  readonly kept: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(text: string): void {
    this.#count++;
    if (this.kept.length < MAXIMUM_WARNINGS) this.kept.push(text);
  }
}

// C0 and C1 controls, line separators, and the characters that reorder text: a file name must not drive a terminal.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A file name as it may be shown to a person: quoted, control and reordering characters as `\u{...}`, at most 300 long. */
export function printable(name: string): string {
  const short = name.length > 300 ? `${name.slice(0, 140)}…${name.slice(-140)}` : name;
  return `“${short.replace(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)}”`;
}

/**
 * What an unset variable leaves of a path would be the folder that somebody happens to be in.
 * @throws HoldfastError `usage` for an empty path.
 */
export function requirePath(path: string, what: string): void {
  if (path === '') throw new HoldfastError('usage', `${what} is empty`);
}

/** @throws HoldfastError `cancelled` once `signal` has aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled; nothing was left behind');
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'part of the path is not a folder',
  EISDIR: 'it is a folder',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'the folder is not empty',
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EIO: 'the disk reported an error',
  ELOOP: 'it is a symbolic link, or there are too many of them',
  ENAMETOOLONG: 'the name or path is too long for this system',
  EXDEV: 'it is on another file system',
  EMFILE: 'too many files are open',
};

/** The system's error code (`ENOENT`, ...) of a thrown thing, if it has one. */
export function systemCode(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** A system error in words that name no path (the caller says which). */
export function systemReason(thrown: unknown): string {
  const code = systemCode(thrown);
  if (code !== undefined) return SYSTEM_ERRORS[code] ?? code;
  return thrown instanceof Error ? thrown.message : String(thrown);
}
