/** Names in a hostile archive: kept as exact bytes, and refused if they could lead out of the folder restored into. */

import { HoldfastError } from '../core/index.ts';
import { printable } from './report.ts';

/** A file name's bytes as a string with one character (0 to 255) for each byte: file names need not be UTF-8. */
export type ByteString = string;

export const byteString = (text: string): ByteString => Buffer.from(text, 'utf8').toString('latin1');

/** The form that the file system takes. */
export const nativePath = (bytes: ByteString): Buffer => Buffer.from(bytes, 'latin1');

/** For messages. */
export const printablePath = (bytes: ByteString): string => printable(nativePath(bytes).toString('utf8'));

/**
 * The path as it may be restored: its parts without empty ones and `.`, joined by `/`; '' is the archive's root.
 * @throws HoldfastError `bad_input` for an absolute path, a `..`, or a zero byte.
 */
export function relativePath(name: ByteString): ByteString {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || name.includes('\0') || parts.includes('..')) {
    const message = `the archive holds the unsafe name ${printablePath(name)}; it was not made by Holdfast, do not trust it`;
    throw new HoldfastError('bad_input', message);
  }
  return parts.join('/');
}

/** Every folder on the way to `path`, outermost first, without `path` itself. */
export function parentsOf(path: ByteString): ByteString[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}
