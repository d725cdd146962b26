/** The client's side of the oblivious pseudorandom function of RFC 9497, suite P256-SHA256, mode OPRF. */

import { p256_oprf } from '@noble/curves/nist.js';
import { HoldfastError, type Random, Secret, systemRandom } from '../core/index.ts';

/** Compressed SEC1 point on P-256. */
export const ELEMENT_BYTES = 33;
const MAXIMUM_INPUT_BYTES = 65_535;

export interface Blinded {
  /** The scalar that undoes the blinding, 32 bytes. In memory only: with it and the answers, PINs can be tested. */
  readonly blind: Secret;
  /** What the nodes see: a compressed point of 33 bytes that says nothing about the input. */
  readonly blindedElement: Uint8Array;
}

/**
 * Blind, RFC 9497 section 3.3.1. `input` has at most 65,535 bytes. About 3 ms.
 * @throws HoldfastError `bad_input` for a longer input.
 */
export function blind(input: Uint8Array, random: Random = systemRandom): Blinded {
  if (input.length > MAXIMUM_INPUT_BYTES) throw new HoldfastError('bad_input', 'the input has more than 65535 bytes');
  const result = p256_oprf.oprf.blind(input, (length) => new Uint8Array(random(length ?? 32)));
  return { blind: new Secret(result.blind), blindedElement: result.blinded };
}

/**
 * Finalize, RFC 9497 section 3.3.1: the function's output, 32 bytes. `input` and `blind` are those of the call to
 * `blind`; `evaluatedElement` is a node's answer. About 2 ms.
 * @throws HoldfastError `untrusted` if the answer is not a canonical, on-curve, non-identity compressed point.
 */
export function finalize(input: Uint8Array, blind: Secret, evaluatedElement: Uint8Array): Uint8Array {
  if (evaluatedElement.length !== ELEMENT_BYTES) throw badAnswer();
  try {
    return p256_oprf.oprf.finalize(input, blind.reveal(), evaluatedElement);
  } catch (cause) {
    throw badAnswer(cause);
  }
}

function badAnswer(cause?: unknown): HoldfastError {
  return new HoldfastError('untrusted', 'the node’s answer is no valid point; leave this node out', { cause });
}
