/**
 * RFC 9497 BlindEvaluate (P256-SHA256, mode OPRF) with a key that gives away x-coordinates only, as tokens and the
 * runtime's native ECDH do.
 *
 * The effective key is k * h: k stays in the token, h is the record's scalar, known to this host while it is in use. The
 * test that tells the sign of an x-coordinate (src/crypto/p256.ts) finds out an erring token too, whose answer would
 * otherwise be a wrong share: nothing is answered that did not pass it.
 */

import { p256 } from '@noble/curves/nist.js';
import { bytesToHex, codec, HoldfastError } from '../core/index.ts';
import {
  type AffinePoint,
  addAffine,
  decodeCompressed,
  decodeUncompressedTrusted,
  encodeCompressed,
  encodeUncompressed,
  GENERATOR,
  liftBySum,
  multiplyNatively,
  negate,
  scalarBytes,
} from '../crypto/index.ts';

const ORDER = p256.Point.Fn.ORDER;
/** Mismatches tolerated before the token counts as failed. */
const ATTEMPTS = 3;

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
    const scaled = h === 1n ? blinded : multiplyNatively(scalarBytes(h), blinded);
    if (scaled !== undefined) {
      if (scaled.x === GENERATOR.x) {
        return encodeCompressed(scaled.y === GENERATOR.y ? publicKey : negate(publicKey));
      }
      const [x, sum] = primitives.ecdh([encodeUncompressed(scaled), encodeUncompressed(addAffine(scaled, GENERATOR))]);
      const evaluated = x && sum && liftBySum(x, publicKey, sum);
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
