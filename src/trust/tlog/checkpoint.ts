/** The text of checkpoints, a log's signed tree heads (C2SP tlog-checkpoint). */

import { HoldfastError } from '../../core/index.ts';
import { HASH_BYTES, hasControlCharacters, hashFromBase64, parseDecimal, toBase64 } from './text.ts';

export interface Checkpoint {
  /** Which log this is; by custom also the name of the key that signs it. */
  readonly origin: string;
  /** Number of leaves. */
  readonly size: number;
  /** 32 bytes, RFC 6962 section 2.1. */
  readonly root: Uint8Array;
  /** Lines after the third, without their newlines. Logs of Holdfast have none, because nobody audits them. */
  readonly extensions: readonly string[];
}

/** UTF-16 units of a checkpoint's text. Longer ones are refused unread. */
export const MAXIMUM_CHECKPOINT_TEXT = 65_536;
/** UTF-16 units of an origin. */
export const MAXIMUM_ORIGIN = 1024;

/**
 * Reads the text of a checkpoint, which nothing has authenticated yet. Sizes of 2^53 and more are refused.
 * @param extensions whether lines after the root are let through; logs of Holdfast must have none.
 * @throws HoldfastError `malformed` for anything that `serialiseCheckpoint` would not have written.
 */
export function parseCheckpoint(
  text: string,
  { extensions = 'refuse' }: { readonly extensions?: 'refuse' | 'allow' } = {},
): Checkpoint {
  if (text.length > MAXIMUM_CHECKPOINT_TEXT) throw malformed('is too long');
  if (!text.endsWith('\n')) throw malformed('must end in a newline');
  const [origin = '', size = '', root = '', ...rest] = text.slice(0, -1).split('\n');
  if (rest.length > 0 && extensions === 'refuse') throw malformed('has extension lines, which this log must not have');
  const checkpoint = { origin, size: parseDecimal(size), root: hashFromBase64(root), extensions: rest };
  if (serialiseCheckpoint(checkpoint) !== text) throw malformed('is not in its one form');
  return checkpoint;
}

/** The text that `parseCheckpoint` reads back. @throws HoldfastError `malformed` for what has no such text. */
export function serialiseCheckpoint(checkpoint: Omit<Checkpoint, 'extensions'> & Partial<Checkpoint>): string {
  const { origin, size, root, extensions = [] } = checkpoint;
  if (origin.length > MAXIMUM_ORIGIN) throw malformed(`must have an origin of at most ${MAXIMUM_ORIGIN} characters`);
  for (const line of [origin, ...extensions]) {
    if (line === '' || !line.isWellFormed() || hasControlCharacters(line)) {
      throw malformed('must have lines of text that are not empty');
    }
  }
  if (!Number.isSafeInteger(size) || size < 0) throw malformed('must have a size from 0 to 2^53 - 1');
  if (root.length !== HASH_BYTES) throw malformed('must have a root of 32 bytes');
  return `${[origin, String(size), toBase64(root), ...extensions].join('\n')}\n`;
}

function malformed(problem: string): HoldfastError {
  return new HoldfastError('malformed', `the checkpoint ${problem}`);
}
