/**
 * The one strict verification of signatures: ECDSA on P-256 with SHA-256 (FIPS 186-5) and Ed25519 (RFC 8032).
 *
 * Every node and client must come to the same verdict on the same bytes, or certificates that one accepts another
 * refuses. So everything in which implementations differ is decided here, on bytes, before either library is asked.
 */

import type { KeyObject } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { sha512 } from '@noble/hashes/sha2.js';
import {
  bytesToHex,
  compareBytes,
  concatBytes,
  equalBytes,
  HoldfastError,
  hexToBytes,
  nativeCrypto,
} from '../core/index.ts';

const SIGNATURE_BYTES = 64;
const POINT_BYTES = 65;
const ED25519_KEY_BYTES = 32;

const P256_ORDER = hexToBytes('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
/** Floor of half the order: the largest low s. */
const P256_HALF_ORDER = hexToBytes('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8');
/** An imported key takes about 2 kB. */
const MAXIMUM_IMPORTED_KEYS = 1024;

const ZERO_SCALAR = new Uint8Array(32);

/** Big-endian here, to be compared in order. */
const ED25519_PRIME = hexToBytes('7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed');
const ED25519_ORDER = hexToBytes('1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed');
/** The y-coordinates, big-endian, of the eight points whose order divides the cofactor. Each belongs to no honest key. */
const SMALL_ORDER_Y: readonly Uint8Array[] = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000001',
  '7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec',
  '05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826',
  '7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7',
].map(hexToBytes);

/** What stands before the raw key in a SubjectPublicKeyInfo (RFC 5480, RFC 8410). */
const P256_SPKI_PREFIX = hexToBytes('3059301306072a8648ce3d020106082a8648ce3d030107034200');
const ED25519_SPKI_PREFIX = hexToBytes('302a300506032b6570032100');

/** A raw verification by one library, of input that has passed the checks on bytes. */
type Verify = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean;
export interface Verifiers {
  readonly ecdsa: Verify;
  readonly ed25519: Verify;
}

/** The implementation for browsers. */
export const portableVerifiers: Verifiers = {
  ecdsa(publicKey, message, signature) {
    try {
      return p256.verify(signature, message, publicKey, { lowS: true, prehash: true, format: 'compact' });
    } catch {
      return false;
    }
  },
  // The library's own verification multiplies by the cofactor (RFC 8032 allows both) and OpenSSL's does not. They
  // differ for points with a small-order part, so the equation without the cofactor is computed here: R = S*B - k*A.
  ed25519(publicKey, message, signature) {
    try {
      const { Point } = ed25519;
      const encodedR = signature.subarray(0, 32);
      const s = Point.Fn.fromBytes(signature.subarray(32));
      const k = Point.Fn.create(littleEndian(sha512(concatBytes(encodedR, publicKey, message))));
      const a = Point.fromBytes(publicKey);
      const r = Point.BASE.multiplyUnsafe(s).add(a.negate().multiplyUnsafe(k));
      return equalBytes(r.toBytes(), encodedR);
    } catch {
      return false;
    }
  },
};

/**
 * r || s as the two INTEGERs of RFC 3279 section 2.2.3, which is what OpenSSL wants: having the runtime convert it takes
 * 0.03 ms, nearly half of a verification.
 */
function derSignature(signature: Uint8Array): Uint8Array {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((scalar) => {
    const first = Math.min(scalar.findIndex((byte) => byte !== 0) >>> 0, 31);
    const digits = scalar.subarray(first);
    return digits[0]! < 0x80 ? digits : concatBytes(Uint8Array.of(0), digits);
  });
  const [r, s] = integers as [Uint8Array, Uint8Array];
  return concatBytes(Uint8Array.of(0x30, 4 + r.length + s.length, 2, r.length), r, Uint8Array.of(2, s.length), s);
}

function nativeVerifiers(crypto: NonNullable<typeof nativeCrypto>): Verifiers {
  const imported = new Map<string, KeyObject>();
  /** The imported key, or undefined if it is none. Importing costs as much as a verification, so the last ones stay. */
  const importKey = (prefix: Uint8Array, publicKey: Uint8Array): KeyObject | undefined => {
    const name = bytesToHex(publicKey);
    let key = imported.get(name);
    if (key === undefined) {
      if (imported.size >= MAXIMUM_IMPORTED_KEYS) imported.delete(imported.keys().next().value!);
      try {
        key = crypto.createPublicKey({ key: concatBytes(prefix, publicKey) as Buffer, format: 'der', type: 'spki' });
      } catch {
        return undefined;
      }
    } else {
      imported.delete(name);
    }
    // Last in the map's order, the first of which goes when it is full.
    imported.set(name, key);
    return key;
  };
  return {
    ecdsa(publicKey, message, signature) {
      const key = importKey(P256_SPKI_PREFIX, publicKey);
      return key !== undefined && crypto.verify('sha256', message, key, derSignature(signature));
    },
    ed25519(publicKey, message, signature) {
      const key = importKey(ED25519_SPKI_PREFIX, publicKey);
      return key !== undefined && crypto.verify(null, message, key, signature);
    },
  };
}

export const verifiers: Verifiers = nativeCrypto ? nativeVerifiers(nativeCrypto) : portableVerifiers;

/**
 * Whether `signature` (64 bytes, r || s) is an ECDSA signature on P-256 over SHA-256 of `message` by `publicKey`
 * (65 bytes, uncompressed). r must be between 1 and q-1, s in the lower half, so that no signature has a second form.
 * About 0.07 ms natively. Never throws.
 */
export function verifyEcdsa(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return verifyEcdsaWith(verifiers, publicKey, message, signature);
}

/** `verifyEcdsa` with a given library, to compare them. */
export function verifyEcdsaWith(
  library: Verifiers,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== POINT_BYTES || publicKey[0] !== 4 || signature.length !== SIGNATURE_BYTES) return false;
  const r = signature.subarray(0, 32);
  const s = signature.subarray(32);
  const inRange =
    compareBytes(r, ZERO_SCALAR) > 0 &&
    compareBytes(r, P256_ORDER) < 0 &&
    compareBytes(s, ZERO_SCALAR) > 0 &&
    compareBytes(s, P256_HALF_ORDER) <= 0;
  return inRange && library.ecdsa(publicKey, message, signature);
}

/**
 * Whether `signature` (64 bytes) is an Ed25519 signature over `message` by `publicKey` (32 bytes), by the equation
 * without the cofactor (RFC 8032 section 5.1.7). A key or R of small order, on which runtimes differ, and any encoding of
 * key, R or S that is not canonical are refused. About 0.09 ms natively. Never throws.
 */
export function verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return verifyEd25519With(verifiers, publicKey, message, signature);
}

/** `verifyEd25519` with a given library, to compare them. */
export function verifyEd25519With(
  library: Verifiers,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (publicKey.length !== ED25519_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const points = [publicKey, signature.subarray(0, 32)].map(yCoordinate);
  const canonicalS = compareBytes(signature.slice(32).reverse(), ED25519_ORDER) < 0;
  return canonicalS && points.every(isStrictY) && library.ed25519(publicKey, message, signature);
}

/**
 * Whether a y-coordinate is reduced and of no point of small order. The two points with x = 0, which alone have a second
 * encoding by the sign of x, are of small order, so what is left is canonical.
 */
function isStrictY(y: Uint8Array): boolean {
  return compareBytes(y, ED25519_PRIME) < 0 && !SMALL_ORDER_Y.some((small) => equalBytes(small, y));
}

/** The y-coordinate of an encoded Ed25519 point, big-endian, without the sign bit of x. */
function yCoordinate(point: Uint8Array): Uint8Array {
  const y = point.slice().reverse();
  y[0]! &= 0x7f;
  return y;
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

/**
 * The same ECDSA signature with s in the lower half, as every signature here must be. Tokens return either half.
 * @throws HoldfastError `malformed` unless it has 64 bytes, r || s, both between 1 and q-1.
 */
export function lowS(signature: Uint8Array): Uint8Array {
  try {
    const parsed = p256.Signature.fromBytes(signature, 'compact');
    return (parsed.hasHighS() ? new p256.Signature(parsed.r, p256.Point.Fn.neg(parsed.s)) : parsed).toBytes('compact');
  } catch (cause) {
    throw new HoldfastError('malformed', 'this is no ECDSA signature on P-256', { cause });
  }
}

/** Whether `point` (65 bytes) is the uncompressed form of a point on P-256. Never throws. */
export function isPublicPoint(point: Uint8Array): boolean {
  if (point.length !== POINT_BYTES || point[0] !== 4) return false;
  try {
    p256.Point.fromBytes(point).assertValidity();
    return true;
  } catch {
    return false;
  }
}
