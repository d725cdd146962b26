/** Keys and signers for tests of notes, always the same. */

import { p256 } from '@noble/curves/nist.js';
import { Secret, sha256, utf8 } from '../../../src/core/index.ts';
import { type Ed25519Key, ed25519KeyFromSeed } from '../../../src/crypto/index.ts';
import { type NoteSigner, newVerifierKey } from '../../../src/trust/index.ts';

export const ed25519Key = (seed: string): Ed25519Key => ed25519KeyFromSeed(new Secret(sha256(utf8(seed))));

/** Signs with ECDSA on P-256 as a token may: with s in either half, as `high` says. */
export function ecdsaSigner(name: string, high = false): NoteSigner {
  const secret = sha256(utf8(`ecdsa ${name}`));
  const publicKey = p256.getPublicKey(secret, false);
  return {
    name,
    verifierKey: newVerifierKey(name, 'ecdsa', publicKey).text,
    sign: async (message) => {
      const low = p256.Signature.fromBytes(p256.sign(message, secret, { lowS: true, format: 'compact' }), 'compact');
      return (high ? new p256.Signature(low.r, p256.Point.Fn.neg(low.s)) : low).toBytes('der');
    },
  };
}
