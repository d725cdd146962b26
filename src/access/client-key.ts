/** The client's Ed25519 key (RFC 8032), to which user tokens are bound, and its signature over a request. Browser-safe. */

import { codec, fromBase64Url, HoldfastError, type Random, Secret, systemRandom, toBase64Url } from '../core/index.ts';
import { type Ed25519Key, ed25519KeyFromSeed, signEd25519, verifyEd25519 } from '../crypto/index.ts';

/** A private Ed25519 key as RFC 8037 writes it. A secret: for files that only its owner can read. */
export interface ClientKeyJwk {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  /** Public key, 32 bytes in base64url. */
  readonly x: string;
  /** Secret key, 32 bytes in base64url. */
  readonly d: string;
}

const clientSignature = codec.message('holdfast/client-signature/v1', {
  outer: codec.bytes(65_536),
  tokenHash: codec.fixed(32),
});

/** For the HPKE context as well: no signature of one kind is one of the other, nor one for another context. */
const contextSignature = codec.message('holdfast/client-signature/v2', {
  outer: codec.bytes(65_536),
  enc: codec.fixed(65),
  tokenHash: codec.fixed(32),
});

/** What `signAsClient` signs, for whoever keeps the key in another form. */
export function encodeClientSignature(outer: Uint8Array, tokenHash: Uint8Array, enc?: Uint8Array): Uint8Array {
  return enc ? contextSignature.encode({ outer, enc, tokenHash }) : clientSignature.encode({ outer, tokenHash });
}

/** A new client key. */
export function generateClientKey(random: Random = systemRandom): Ed25519Key {
  return ed25519KeyFromSeed(new Secret(random(32)));
}

/** The key as a file holds it; `clientKeyFromJwk` reads it. */
export function clientKeyToJwk(key: Ed25519Key): ClientKeyJwk {
  const d = toBase64Url(key.secretKey.reveal());
  return { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(key.publicKey), d };
}

/** @throws HoldfastError `bad_input` for anything but a private Ed25519 key whose two halves belong together. */
export function clientKeyFromJwk(jwk: unknown): Ed25519Key {
  try {
    const { kty, crv, x, d } = jwk as Partial<Record<string, unknown>>;
    if (kty === 'OKP' && crv === 'Ed25519' && typeof x === 'string' && typeof d === 'string') {
      const key = ed25519KeyFromSeed(new Secret(fromBase64Url(d)));
      if (toBase64Url(key.publicKey) === x) return key;
    }
  } catch {
    // The reason could quote the key.
  }
  throw new HoldfastError('bad_input', 'the file does not hold a private Ed25519 key (JWK); make a new client key');
}

/**
 * Signs one request: the token allows it only together with this signature.
 * @param outer the request's outer fields, encoded, at most 64 KiB.
 * @param tokenHash SHA-256 of the user token, 32 bytes (`hashUserToken`).
 * @param enc the encapsulated key of the HPKE context that the request is sealed in, 65 bytes: then the token's client vouches
 *   for all that is sealed in that context together with this token. Only ever of a context that the signer itself has made.
 * @returns 64 bytes.
 * @throws HoldfastError `malformed` or `too_large` for arguments of other sizes.
 */
export function signAsClient(
  key: Pick<Ed25519Key, 'secretKey'>,
  outer: Uint8Array,
  tokenHash: Uint8Array,
  enc?: Uint8Array,
): Uint8Array {
  return signEd25519(key.secretKey, encodeClientSignature(outer, tokenHash, enc));
}

/**
 * Whether `signature` (64 bytes) is what the holder of `publicKey` (32 bytes) made with `signAsClient` over the same
 * `outer`, `tokenHash` and, where given, `enc`. About 0.1 ms. Never throws.
 */
export function verifyClientSignature(
  publicKey: Uint8Array,
  outer: Uint8Array,
  tokenHash: Uint8Array,
  signature: Uint8Array,
  enc?: Uint8Array,
): boolean {
  try {
    const isSigned = (signed: Uint8Array) => verifyEd25519(publicKey, signed, signature);
    return enc
      ? contextSignature.use({ outer, enc, tokenHash }, isSigned)
      : clientSignature.use({ outer, tokenHash }, isSigned);
  } catch {
    return false;
  }
}
