/** The small text forms that all C2SP log formats share: base64 of RFC 4648 section 4, decimals, key names. */

import { fromBase64Url, HoldfastError, toBase64Url } from '../../core/index.ts';

/** Bytes of SHA-256, which all logs here hash with. */
export const HASH_BYTES = 32;

/** base64 with padding (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  const text = toBase64Url(bytes).replaceAll('-', '+').replaceAll('_', '/');
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=');
}

/**
 * The bytes of canonical base64 with padding: no line breaks, no stray bits at the end.
 * @throws HoldfastError `malformed` for anything that `toBase64` would not have written.
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw notBase64();
  const bytes = fromBase64Url(text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, ''));
  if (toBase64(bytes) !== text) throw notBase64();
  return bytes;
}

function notBase64(): HoldfastError {
  return new HoldfastError('malformed', 'text is not canonical base64 with padding');
}

/**
 * A line of base64 as a hash of 32 bytes.
 * @throws HoldfastError `malformed` for anything else.
 */
export function hashFromBase64(text: string): Uint8Array<ArrayBuffer> {
  // Measured before it is decoded.
  const bytes = text.length === 44 ? fromBase64(text) : undefined;
  if (bytes?.length !== HASH_BYTES) throw new HoldfastError('malformed', 'a hash must have 32 bytes, in base64');
  return bytes;
}

/**
 * A number of leaves or of a leaf: ASCII decimal without leading zeroes, at most 2^53 - 1.
 * @throws HoldfastError `malformed` for anything else.
 */
export function parseDecimal(text: string): number {
  const value = /^(?:0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw new HoldfastError('malformed', 'a number must be a decimal without leading zeroes, below 2^53');
  }
  return value;
}

/** Whether `name` can be a key's name (signed-note, "Format"): not empty, no Unicode spaces, no plus, no control characters. */
export function isKeyName(name: string): boolean {
  return name.isWellFormed() && !hasControlCharacters(name) && /^[^\p{White_Space}+]+$/u.test(name);
}

/** Whether there are ASCII control characters (below U+0020) in `text`. */
export function hasControlCharacters(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 0x20) return true;
  return false;
}
