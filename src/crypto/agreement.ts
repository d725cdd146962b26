/** ECDH on P-256 with an ephemeral secret that has been published (NIST SP 800-56A section 5.7.1.2): for checking, not for secrecy. */

import { p256 } from '@noble/curves/nist.js';
import { isPublicPoint } from './signature.ts';

/** The public point, 65 bytes, of a secret of 32 bytes, big-endian; undefined for one that is no scalar. Never throws. */
export function publicPointOf(secret: Uint8Array): Uint8Array | undefined {
  try {
    return p256.getPublicKey(secret, false);
  } catch {
    return undefined;
  }
}

/**
 * What the holder of `secret` (32 bytes) and that of the key `point` (65 bytes) have in common: the x-coordinate, 32 bytes,
 * with the secret's own public point. Undefined for a secret that is no scalar or a point that is not on the curve. Not in
 * constant time. Never throws.
 */
export function agree(
  secret: Uint8Array,
  point: Uint8Array,
): { readonly point: Uint8Array; readonly shared: Uint8Array } | undefined {
  const own = publicPointOf(secret);
  if (own === undefined || !isPublicPoint(point)) return undefined;
  return { point: own, shared: p256.getSharedSecret(secret, point, true).slice(1) };
}
