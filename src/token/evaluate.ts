/**
 * RFC 9497 BlindEvaluate (P256-SHA256, mode OPRF) with a key that gives away x-coordinates only, as tokens and the
 * runtime's native ECDH do.
 *
 * The effective key is k * h: k stays in the token, h is the record's scalar, known to this host while it is in use.
 * An x-coordinate belongs to a point and to its negative. A second multiplication, of the same point plus the generator
 * G, tells which: with R = k * G known, exactly one sign of Q satisfies x(Q + R) = x(k * (P + G)). The same test finds
 * out an erring token, whose answer would otherwise be a wrong share: nothing is answered that did not pass it.
 */

import { createECDH, ECDH } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import { bytesToHex, codec, equalBytes, HoldfastError, hexToBytes } from '../core/index.ts';

const CURVE = 'prime256v1';
const Fp = p256.Point.Fp;
const ORDER = p256.Point.Fn.ORDER;
const { a: A, b: B } = p256.Point.CURVE();
/** Mismatches tolerated before the token counts as failed. */
const ATTEMPTS = 3;

/** An affine point of P-256, never the identity. */
export interface AffinePoint {
  readonly x: bigint;
  readonly y: bigint;
}

const GENERATOR: AffinePoint = p256.Point.BASE.toAffine();

/** What the evaluation needs of a token, at once: it runs where the token's own calls do. */
export interface EvaluationPrimitives {
  /** k * G, 65 bytes uncompressed, known to be on the curve. */
  readonly publicKey: Uint8Array;
  /** The PRF of section 3's `tweak` key, 32 bytes for each input. */
  prf(inputs: readonly Uint8Array[]): readonly Uint8Array[];
  /** For each uncompressed point P (65 bytes), the x-coordinate of k * P, 32 bytes big-endian. */
  ecdh(points: readonly Uint8Array[]): readonly Uint8Array[];
  /** Told of each answer that contradicted itself. */
  onFault?(): void;
}

const tweakMessage = codec.message('holdfast/tweak/v1', { input: codec.bytes(4096), counter: codec.uint });

const toBigInt = (bytes: Uint8Array) => BigInt(`0x${bytesToHex(bytes)}`);
const toBytes32 = (value: bigint) => hexToBytes(value.toString(16).padStart(64, '0'));

const offCurve = () =>
  new HoldfastError(
    'malformed',
    'the element is not a canonical point of P-256; send a compressed or uncompressed point',
  );

function nativePoint(encoded: Uint8Array): AffinePoint {
  let raw: Buffer;
  try {
    raw = ECDH.convertKey(encoded, CURVE, undefined, undefined, 'uncompressed') as Buffer;
  } catch {
    throw offCurve();
  }
  if (raw.length !== 65) throw offCurve();
  const point = { x: toBigInt(raw.subarray(1, 33)), y: toBigInt(raw.subarray(33)) };
  // The library may reduce a coordinate; only the one canonical encoding may name a point.
  if (point.x !== toBigInt(encoded.subarray(1, 33))) throw offCurve();
  if (encoded.length === 65 && point.y !== toBigInt(encoded.subarray(33))) throw offCurve();
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
export function decodeUncompressed(encoded: Uint8Array): AffinePoint {
  if (encoded.length !== 65 || encoded[0] !== 4) throw offCurve();
  return nativePoint(encoded);
}

/** As `decodeUncompressed`, where only the answer counts: without turning bytes into numbers. */
export function requireUncompressed(encoded: Uint8Array): void {
  if (encoded.length !== 65 || encoded[0] !== 4) throw offCurve();
  let canonical: Buffer;
  try {
    canonical = ECDH.convertKey(encoded, CURVE, undefined, undefined, 'uncompressed') as Buffer;
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
  encoded.set(toBytes32(point.x), 1);
  return encoded;
}

/** 65 bytes. */
export function encodeUncompressed(point: AffinePoint): Uint8Array {
  const encoded = new Uint8Array(65);
  encoded[0] = 4;
  encoded.set(toBytes32(point.x), 1);
  encoded.set(toBytes32(point.y), 33);
  return encoded;
}

const negate = (point: AffinePoint): AffinePoint => ({ x: point.x, y: Fp.neg(point.y) });

/** a + b for points with different x; given 1 / (b.x - a.x), in less than a tenth of the time. */
export function addAffine(a: AffinePoint, b: AffinePoint, inverse = Fp.inv(Fp.sub(b.x, a.x))): AffinePoint {
  const slope = Fp.mul(Fp.sub(b.y, a.y), inverse);
  const x = Fp.sub(Fp.sub(Fp.sqr(slope), a.x), b.x);
  return { x, y: Fp.sub(Fp.mul(slope, Fp.sub(a.x, x)), a.y) };
}

/** y^2 of the points with that x-coordinate, if there are any. */
const squaredY = (x: bigint) => Fp.add(Fp.mul(x, Fp.add(Fp.sqr(x), A)), B);

/**
 * The one point Q with x-coordinate `x` for which Q + `offset` has the x-coordinate `sum` (32 bytes each, big-endian),
 * or undefined where neither sign fits.
 *
 * With (sum + x + offset.x) (offset.x - x)^2 = (offset.y - y)^2, the law of addition, and y^2 known from x, only one y is
 * left; whether it is that of a point decides. So there is no root to take. `inverse` is 1 / (2 offset.y).
 */
export function liftBySum(
  x: Uint8Array,
  offset: AffinePoint,
  sum: Uint8Array,
  inverse = Fp.inv(double(offset.y)),
): AffinePoint | undefined {
  if (x.length !== 32 || sum.length !== 32) return undefined;
  const [qx, sumX] = [toBigInt(x), toBigInt(sum)];
  if (qx >= Fp.ORDER || sumX >= Fp.ORDER || qx === offset.x) return undefined;
  const square = squaredY(qx);
  const difference = Fp.mul(Fp.add(Fp.add(sumX, qx), offset.x), Fp.sqr(Fp.sub(offset.x, qx)));
  const y = Fp.mul(Fp.sub(Fp.add(Fp.sqr(offset.y), square), difference), inverse);
  return Fp.sqr(y) === square ? { x: qx, y } : undefined;
}

const double = (value: bigint) => Fp.add(value, value);

/** Reused because making one costs 6 microseconds; every use sets the key first and is synchronous. */
const hostMultiplier = createECDH(CURVE);

/** A point, with the inverses that the rest of an evaluation wants: one inversion makes all that there are. */
interface Scaled {
  readonly point: AffinePoint;
  /** 1 / (G.x - point.x), and zero where there is none. */
  readonly toGenerator: bigint;
  /** 1 / (2 K.y), for the token's public key K. */
  readonly ofPublicKey: bigint;
}

/** h * `point` by two native multiplications, about 0.22 ms; undefined if the library contradicted itself. */
function multiplyOnHost(h: bigint, point: AffinePoint, publicKey: AffinePoint): Scaled | undefined {
  const fromPoint = Fp.sub(GENERATOR.x, point.x);
  const doubledKey = double(publicKey.y);
  if (h === 1n) return scaled(point, Fp.invertBatch([fromPoint, doubledKey]));
  hostMultiplier.setPrivateKey(toBytes32(h));
  try {
    const hG = decodeUncompressedTrusted(hostMultiplier.getPublicKey());
    if (fromPoint === 0n) {
      const result = point.y === GENERATOR.y ? hG : negate(hG);
      return scaled(result, Fp.invertBatch([Fp.sub(GENERATOR.x, result.x), doubledKey]));
    }
    const x = hostMultiplier.computeSecret(encodeUncompressed(point));
    const fromResult = Fp.sub(GENERATOR.x, toBigInt(x));
    const [add, lift, ...inverses] = Fp.invertBatch([fromPoint, double(hG.y), fromResult, doubledKey]);
    const sum = hostMultiplier.computeSecret(encodeUncompressed(addAffine(point, GENERATOR, add)));
    const result = liftBySum(x, hG, sum, lift);
    return result && scaled(result, inverses);
  } finally {
    hostMultiplier.setPrivateKey(ONE);
  }
}

function scaled(point: AffinePoint, [toGenerator, ofPublicKey]: readonly bigint[]): Scaled {
  return { point, toGenerator: toGenerator!, ofPublicKey: ofPublicKey! };
}

const ONE = toBytes32(1n);

function decodeUncompressedTrusted(encoded: Uint8Array): AffinePoint {
  return { x: toBigInt(encoded.subarray(1, 33)), y: toBigInt(encoded.subarray(33, 65)) };
}

/** The record's scalar, from 1 to q - 1: 1 + (PRF(.., 1) || PRF(.., 2)) mod (q - 1), section 4 of docs/protocol.md. */
export function tweakScalar(primitives: EvaluationPrimitives, tweakInput: Uint8Array): bigint {
  const [first, second] = primitives.prf([
    tweakMessage.encode({ input: tweakInput, counter: 1 }),
    tweakMessage.encode({ input: tweakInput, counter: 2 }),
  ]);
  if (first?.length !== 32 || second?.length !== 32) {
    throw new HoldfastError('token_failed', 'the token returned a PRF value of the wrong length; check the token');
  }
  return 1n + (BigInt(`0x${bytesToHex(first)}${bytesToHex(second)}`) % (ORDER - 1n));
}

/**
 * (k * h) * B. `blindedElement` and the answer are compressed points of 33 bytes.
 * @throws HoldfastError `malformed` for a bad element, `token_failed` when the token's answers contradict each other
 *   three times in a row.
 */
export function evaluateWithScalar(
  primitives: EvaluationPrimitives,
  h: bigint,
  blindedElement: Uint8Array,
): Uint8Array {
  return evaluatePoint(primitives, h, decodeCompressed(blindedElement));
}

function evaluatePoint(primitives: EvaluationPrimitives, h: bigint, blinded: AffinePoint): Uint8Array {
  const publicKey = decodeUncompressedTrusted(primitives.publicKey);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const { point, toGenerator, ofPublicKey } = multiplyOnHost(h, blinded, publicKey) ?? {};
    if (point) {
      if (point.x === GENERATOR.x) {
        return encodeCompressed(point.y === GENERATOR.y ? publicKey : negate(publicKey));
      }
      const plusGenerator = addAffine(point, GENERATOR, toGenerator);
      const [x, sum] = primitives.ecdh([encodeUncompressed(point), encodeUncompressed(plusGenerator)]);
      const evaluated = x && sum && liftBySum(x, publicKey, sum, ofPublicKey);
      if (evaluated) return encodeCompressed(evaluated);
    }
    primitives.onFault?.();
  }
  throw new HoldfastError('token_failed', 'the token answered wrongly three times; take it out of service', {
    details: { operation: 'evaluate', attempts: ATTEMPTS },
  });
}

/** BlindEvaluate under the token's key times the scalar that `tweakInput` names. Errors as `evaluateWithScalar`. */
export function evaluate(
  primitives: EvaluationPrimitives,
  tweakInput: Uint8Array,
  blindedElement: Uint8Array,
): Uint8Array {
  const blinded = decodeCompressed(blindedElement); // before the token does any work for it
  return evaluatePoint(primitives, tweakScalar(primitives, tweakInput), blinded);
}
