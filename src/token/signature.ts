/**
 * What stands between a token's signature and the world: Ed25519 (RFC 8032) and ECDSA on P-256 (FIPS 186-5, SHA-256) are
 * verified with the public key before they are released. A faulty signature can give the private key away, and so can two
 * signatures that share a nonce.
 */

import { bytesToHex, HoldfastError } from '../core/index.ts';
import { lowS, verifyEcdsa, verifyEd25519 } from '../crypto/index.ts';
import type { SigningKey } from './port.ts';

/** The longest message that a signing key takes, in bytes. */
export const MAXIMUM_MESSAGE = 1_048_576;
/** How many signatures' nonces are remembered for each key. */
const REMEMBERED = 4096;

/** Of 64 bytes, as `SigningKey.sign` gives them. About 0.1 ms. Never throws. */
export function verifySignature(
  { algorithm, publicKey }: Pick<SigningKey, 'algorithm' | 'publicKey'>,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return (algorithm === 'Ed25519' ? verifyEd25519 : verifyEcdsa)(publicKey, message, signature);
}

function withLowS(made: Uint8Array): Uint8Array {
  try {
    return lowS(made);
  } catch {
    throw failed('that is none');
  }
}

const failed = (problem: string) =>
  new HoldfastError('token_failed', `the token made a signature ${problem}; take it out of service`, {
    details: { operation: 'sign' },
  });

/** Lets out only signatures that verify, of nonces that no other signature of this process had. */
export class SignatureCheck {
  readonly #key: Pick<SigningKey, 'algorithm' | 'publicKey'>;
  /** The signature's other half by its first half, which is the nonce's public image. Oldest first. */
  readonly #seen = new Map<string, string>();

  constructor(key: Pick<SigningKey, 'algorithm' | 'publicKey'>) {
    this.#key = key;
  }

  /** @returns 64 bytes, s in the lower half. @throws HoldfastError `token_failed`, and nothing of the signature gets out. */
  release(message: Uint8Array, made: Uint8Array): Uint8Array {
    const signature = this.#key.algorithm === 'P-256' ? withLowS(made) : made;
    if (!verifySignature(this.#key, message, signature)) throw failed('that does not verify');
    const text = bytesToHex(signature);
    const [nonce, rest] = [text.slice(0, 64), text.slice(64)];
    const before = this.#seen.get(nonce);
    // The very same signature again is what deterministic nonces give for the same message.
    if (before !== undefined && before !== rest) throw failed('with the nonce of another one');
    if (before === undefined) {
      const [oldest] = this.#seen.keys();
      if (this.#seen.size >= REMEMBERED && oldest !== undefined) this.#seen.delete(oldest);
      this.#seen.set(nonce, rest);
    }
    return signature;
  }
}

/** @throws HoldfastError `usage` for an empty message, `too_large` for one of more than 1 MiB. */
export function checkMessage(message: Uint8Array): void {
  if (message.length === 0) throw new HoldfastError('usage', 'there is nothing to sign; give a message');
  if (message.length > MAXIMUM_MESSAGE) {
    throw new HoldfastError('too_large', `a message to sign has at most ${MAXIMUM_MESSAGE} bytes`);
  }
}

/** @throws HoldfastError `usage` for a CKA_LABEL that is not as `SigningToken` says. */
export function checkLabel(label: string): void {
  if (!/^[\x21-\x7e]{1,200}$/.test(label)) {
    throw new HoldfastError('usage', 'a key label has 1 to 200 printable ASCII characters');
  }
}
