/** HKDF with SHA-256 (RFC 5869). */

import { HoldfastError, hmacSha256 } from '../core/index.ts';

const HASH_BYTES = 32;

/** HKDF-Extract: a pseudorandom key of 32 bytes. An empty `salt` stands for 32 zero bytes; parts are taken one after another. */
export function hkdfExtract(salt: Uint8Array, ...inputKey: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return hmacSha256(salt, ...inputKey);
}

/**
 * HKDF-Expand: `length` bytes, at most 8,160. `info` may come in parts.
 * @throws HoldfastError `unexpected` for a longer output.
 */
export function hkdfExpand(
  pseudorandomKey: Uint8Array,
  info: Uint8Array | readonly Uint8Array[],
  length: number,
): Uint8Array<ArrayBuffer> {
  if (length > 255 * HASH_BYTES) throw new HoldfastError('unexpected', 'HKDF gives at most 8160 bytes');
  const output = new Uint8Array(length);
  const parts = info instanceof Uint8Array ? [info] : info;
  let block = new Uint8Array(0);
  for (let counter = 1, at = 0; at < length; counter++, at += HASH_BYTES) {
    block = hmacSha256(pseudorandomKey, block, ...parts, Uint8Array.of(counter));
    output.set(block.subarray(0, length - at), at);
  }
  return output;
}

/** Extract without a salt, then expand. `inputKey` is already uniformly random wherever Holdfast uses this. */
export function hkdf(inputKey: Uint8Array, info: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  return hkdfExpand(hkdfExtract(new Uint8Array(0), inputKey), info, length);
}
