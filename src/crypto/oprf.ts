/** The client's side of the oblivious pseudorandom function of RFC 9497, suite P256-SHA256, mode OPRF. */

import { mapHashToField } from '@noble/curves/abstract/modular.js';
import { p256, p256_hasher, p256_oprf } from '@noble/curves/nist.js';
import {
  concatBytes,
  HoldfastError,
  nativeCrypto,
  type Random,
  Secret,
  sha256,
  systemRandom,
  utf8,
} from '../core/index.ts';
import { decodeCompressed, encodeCompressed, multiplyNatively, scalarBytes } from './p256.ts';

/** Compressed SEC1 point on P-256. */
export const ELEMENT_BYTES = 33;
const MAXIMUM_INPUT_BYTES = 65_535;
const FINALIZE = utf8('Finalize');
/** RFC 9497, sections 3.1 and 4.3. */
const HASH_TO_GROUP = concatBytes(utf8('HashToGroup-OPRFV1-'), Uint8Array.of(0), utf8('-P256-SHA256'));
/** Random bytes for a scalar, so that none is noticeably likelier than another: those of hash_to_field, RFC 9380 section 5.1. */
const SCALAR_RANDOM_BYTES = 48;

export interface Blinded {
  /** The scalar that undoes the blinding, 32 bytes. In memory only: with it and the answers, PINs can be tested. */
  readonly blind: Secret;
  /** What the nodes see: a compressed point of 33 bytes that says nothing about the input. */
  readonly blindedElement: Uint8Array;
}

/**
 * Blind, RFC 9497 section 3.3.1. `input` has at most 65,535 bytes. About 0.9 ms where the
 * runtime multiplies, else 3.
 * @throws HoldfastError `bad_input` for a longer input.
 */
export function blind(input: Uint8Array, random: Random = systemRandom): Blinded {
  if (input.length > MAXIMUM_INPUT_BYTES) throw new HoldfastError('bad_input', 'the input has more than 65535 bytes');
  const native = blindNatively(input, random);
  if (native) return native;
  const result = p256_oprf.oprf.blind(input, (length) => new Uint8Array(random(length ?? 32)));
  return { blind: new Secret(result.blind), blindedElement: result.blinded };
}

/**
 * Finalize, RFC 9497 section 3.3.1: the function's output, 32 bytes. `input` and `blind` are those of the call to
 * `blind`; `evaluatedElement` is a node's answer. About 0.4 ms where the
 * runtime multiplies, else 2.
 * @throws HoldfastError `untrusted` if the answer is not a canonical, on-curve, non-identity compressed point.
 */
export function finalize(input: Uint8Array, blind: Secret, evaluatedElement: Uint8Array): Uint8Array {
  if (evaluatedElement.length !== ELEMENT_BYTES) throw badAnswer();
  try {
    return (
      finalizeNatively(input, blind, evaluatedElement) ??
      p256_oprf.oprf.finalize(input, blind.reveal(), evaluatedElement)
    );
  } catch (cause) {
    throw badAnswer(cause);
  }
}

/** Undefined where there is no native multiplication. */
function blindNatively(input: Uint8Array, random: Random): Blinded | undefined {
  if (nativeCrypto === undefined) return undefined;
  const scalar = mapHashToField(new Uint8Array(random(SCALAR_RANDOM_BYTES)), p256.Point.Fn.ORDER);
  const point = p256_hasher.hashToCurve(input, { DST: HASH_TO_GROUP }).toAffine();
  const blinded = multiplyNatively(scalar, point);
  return blinded && { blind: new Secret(scalar), blindedElement: encodeCompressed(blinded) };
}

/** Undefined where the library takes over: there is no native multiplication, or it does not suit this point. */
function finalizeNatively(input: Uint8Array, blind: Secret, evaluatedElement: Uint8Array): Uint8Array | undefined {
  if (nativeCrypto === undefined) return undefined;
  const { Fn } = p256.Point;
  const inverse = scalarBytes(Fn.inv(Fn.fromBytes(blind.reveal())));
  const unblinded = multiplyNatively(inverse, decodeCompressed(evaluatedElement));
  inverse.fill(0);
  if (unblinded === undefined) return undefined;
  const element = encodeCompressed(unblinded);
  return sha256(concatBytes(length(input), input, length(element), element, FINALIZE));
}

/** I2OSP(length, 2) of RFC 8017. */
const length = (bytes: Uint8Array) => Uint8Array.of(bytes.length >>> 8, bytes.length);

function badAnswer(cause?: unknown): HoldfastError {
  return new HoldfastError('untrusted', 'the node’s answer is no valid point; leave this node out', { cause });
}
