/**
 * Points of P-256 (SEC 1 section 2.3) and their multiples by the runtime's own ECDH (section 3.3.1), which gives x-coordinates
 * only. Where the runtime has none, in browsers, nothing of this can be called but `multiplyNatively`.
 *
 * An x-coordinate belongs to a point and to its negative. A second multiplication, of the same point plus the generator G,
 * tells which: with R = k * G known, exactly one sign of Q satisfies x(Q + R) = x(k * (P + G)).
 */

import { p256 } from '@noble/curves/nist.js';
import { bytesToHex, equalBytes, HoldfastError, hexToBytes, nativeCrypto } from '../core/index.ts';

const CURVE = 'prime256v1';
const Fp = p256.Point.Fp;
/** 32 bytes. */
const ONE = Uint8Array.of(...new Uint8Array(31), 1);

/** An affine point of P-256, never the identity. */
export interface AffinePoint {
  readonly x: bigint;
  readonly y: bigint;
}

/** G. */
export const GENERATOR: AffinePoint = p256.Point.BASE.toAffine();

const toBigInt = (bytes: Uint8Array) => BigInt(`0x${bytesToHex(bytes)}`);
/** 32 bytes, big-endian, of a number below 2^256. */
export const scalarBytes = (value: bigint) => hexToBytes(value.toString(16).padStart(64, '0'));

const offCurve = () =>
  new HoldfastError(
    'malformed',
    'the element is not a canonical point of P-256; send a compressed or uncompressed point',
  );

function nativePoint(encoded: Uint8Array): AffinePoint {
  let raw: Buffer;
  try {
    raw = nativeCrypto!.ECDH.convertKey(encoded, CURVE, undefined, undefined, 'uncompressed') as Buffer;
  } catch {
    throw offCurve();
  }
  if (raw.length !== 65) throw offCurve();
  const point = { x: toBigInt(raw.subarray(1, 33)), y: toBigInt(raw.subarray(33)) };
  // The library may reduce a coordinate; only the one canonical encoding may name a point.
  if (point.x !== toBigInt(encoded.subarray(1, 33))) throw offCurve();
  return point;
}

/** @throws HoldfastError `malformed` for anything but a canonical compressed point of 33 bytes (SEC1 section 2.3.4). */
export function decodeCompressed(encoded: Uint8Array): AffinePoint {
  if (encoded.length !== 33 || (encoded[0] !== 2 && encoded[0] !== 3)) throw offCurve();
  const point = nativePoint(encoded);
  if ((point.y & 1n) !== BigInt(encoded[0] & 1)) throw offCurve();
  return point;
}

/** @throws HoldfastError `malformed` for anything but an uncompressed point of 65 bytes on the curve. */
export function requireUncompressed(encoded: Uint8Array): void {
  if (encoded.length !== 65 || encoded[0] !== 4) throw offCurve();
  let canonical: Buffer;
  try {
    canonical = nativeCrypto!.ECDH.convertKey(encoded, CURVE, undefined, undefined, 'uncompressed') as Buffer;
  } catch {
    throw offCurve();
  }
  // The library may reduce a coordinate.
  if (!equalBytes(canonical, encoded)) throw offCurve();
}

/** 33 bytes. */
export function encodeCompressed(point: AffinePoint): Uint8Array {
  const encoded = new Uint8Array(33);
  encoded[0] = (point.y & 1n) === 0n ? 2 : 3;
  encoded.set(scalarBytes(point.x), 1);
  return encoded;
}

/** 65 bytes. */
export function encodeUncompressed(point: AffinePoint): Uint8Array {
  const encoded = new Uint8Array(65);
  encoded[0] = 4;
  encoded.set(scalarBytes(point.x), 1);
  encoded.set(scalarBytes(point.y), 33);
  return encoded;
}

/** The point with the other y-coordinate. */
export const negate = (point: AffinePoint): AffinePoint => ({ x: point.x, y: Fp.neg(point.y) });

/** a + b for points with different x; one modular inversion, about 30 microseconds. */
export function addAffine(a: AffinePoint, b: AffinePoint): AffinePoint {
  const slope = Fp.mul(Fp.sub(b.y, a.y), Fp.inv(Fp.sub(b.x, a.x)));
  const x = Fp.sub(Fp.sub(Fp.sqr(slope), a.x), b.x);
  return { x, y: Fp.sub(Fp.mul(slope, Fp.sub(a.x, x)), a.y) };
}

/**
 * The one point Q with x-coordinate `x` for which Q + `offset` has the x-coordinate `sum` (32 bytes each, big-endian),
 * or undefined where neither sign fits. Compares fractions by multiplying out, so it needs no inversion.
 */
export function liftBySum(x: Uint8Array, offset: AffinePoint, sum: Uint8Array): AffinePoint | undefined {
  if (x.length !== 32 || sum.length !== 32) return undefined;
  const compressed = new Uint8Array(33);
  compressed[0] = 2;
  compressed.set(x, 1);
  let even: AffinePoint;
  try {
    even = decodeCompressed(compressed);
  } catch {
    return undefined;
  }
  const dx = Fp.sub(offset.x, even.x);
  const square = Fp.sqr(dx);
  const wanted = Fp.mul(Fp.add(Fp.add(toBigInt(sum), even.x), offset.x), square);
  if (dx === 0n || toBigInt(sum) >= Fp.ORDER) return undefined;
  for (const candidate of [even, negate(even)]) {
    if (Fp.sqr(Fp.sub(offset.y, candidate.y)) === wanted) return candidate;
  }
  return undefined;
}

/** Of a point of 65 bytes that is known to be on the curve. */
export function decodeUncompressedTrusted(encoded: Uint8Array): AffinePoint {
  return { x: toBigInt(encoded.subarray(1, 33)), y: toBigInt(encoded.subarray(33, 65)) };
}

/** Reused because making one costs 6 microseconds; every use sets the key first and is synchronous. */
const multiplier = nativeCrypto?.createECDH(CURVE);

/**
 * `scalar` * `point` by two native multiplications, about 0.25 ms; undefined if the library contradicted itself, and where there
 * is none. `scalar` is 32 bytes, from 1 to the order of the group less 1.
 */
export function multiplyNatively(scalar: Uint8Array, point: AffinePoint): AffinePoint | undefined {
  if (multiplier === undefined) return undefined;
  multiplier.setPrivateKey(scalar);
  try {
    const ofGenerator = decodeUncompressedTrusted(multiplier.getPublicKey());
    if (point.x === GENERATOR.x) return point.y === GENERATOR.y ? ofGenerator : negate(ofGenerator);
    const x = multiplier.computeSecret(encodeUncompressed(point));
    const sum = multiplier.computeSecret(encodeUncompressed(addAffine(point, GENERATOR)));
    return liftBySum(x, ofGenerator, sum);
  } finally {
    // No secret stays in what is used again.
    multiplier.setPrivateKey(ONE);
  }
}
