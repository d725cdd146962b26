/** ECDSA signatures on P-256 as signed notes carry them: the DER form of RFC 3279 section 2.2.3, in its one encoding. */

import { concatBytes, equalBytes, HoldfastError } from '../../core/index.ts';
import { lowS } from '../../crypto/index.ts';

const SEQUENCE = 0x30;
const INTEGER = 0x02;
const SCALAR_BYTES = 32;

/**
 * DER of a signature of 64 bytes, r || s, with s in the lower half as every signature here must be.
 * @throws HoldfastError `malformed` unless r and s are both between 1 and q-1.
 */
export function ecdsaToDer(signature: Uint8Array): Uint8Array<ArrayBuffer> {
  return encode(lowS(signature));
}

function encode(signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const body = concatBytes(integer(signature.subarray(0, SCALAR_BYTES)), integer(signature.subarray(SCALAR_BYTES)));
  return concatBytes(Uint8Array.of(SEQUENCE, body.length), body) as Uint8Array<ArrayBuffer>;
}

/**
 * The 64 bytes r || s of a DER signature, or undefined for anything but its one encoding. Says nothing on r and s, which
 * `verifyEcdsa` checks. Never throws.
 */
export function ecdsaFromDer(der: Uint8Array): Uint8Array | undefined {
  const signature = new Uint8Array(2 * SCALAR_BYTES);
  let at = 2;
  for (const end of [SCALAR_BYTES, 2 * SCALAR_BYTES]) {
    const length = der[at + 1] ?? 0;
    const value = der.subarray(at + 2, at + 2 + length);
    const digits = value[0] === 0 ? value.subarray(1) : value;
    if (digits.length > SCALAR_BYTES) return undefined;
    signature.set(digits, end - digits.length);
    at += 2 + length;
  }
  // Tags, lengths, sign bytes and what follows: all by the comparison with the one encoding.
  return equalBytes(encode(signature), der) ? signature : undefined;
}

/** A DER INTEGER of a big-endian unsigned number. */
function integer(scalar: Uint8Array): Uint8Array {
  let first = 0;
  while (first < scalar.length - 1 && scalar[first] === 0) first++;
  const digits = scalar.subarray(first);
  const sign = digits[0]! >= 0x80 ? Uint8Array.of(0) : new Uint8Array();
  return concatBytes(Uint8Array.of(INTEGER, sign.length + digits.length), sign, digits);
}

/**
 * The same DER signature with s in the lower half.
 * @throws HoldfastError `malformed` for anything but DER of a signature on P-256.
 */
export function lowSDer(der: Uint8Array): Uint8Array<ArrayBuffer> {
  const signature = ecdsaFromDer(der);
  if (signature === undefined) throw new HoldfastError('malformed', 'this is no ECDSA signature in DER');
  return ecdsaToDer(signature);
}
