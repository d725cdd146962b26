/**
 * JSON Web Signatures (RFC 7515, RFC 8037) by a token's key. jose signs with the runtime's own keys only, so the two
 * serialisations in use here are made by hand; jose verifies them.
 */

import { HoldfastError, toBase64Url, utf8 } from '../core/index.ts';
import type { SigningKey } from '../token/port.ts';

export interface FlattenedJws {
  readonly protected: string;
  readonly payload: string;
  readonly signature: string;
}

/** `alg` of a key: EdDSA of RFC 8037, or ES256 of RFC 7518. */
export const jwsAlgorithmOf = ({ algorithm }: Pick<SigningKey, 'algorithm'>) =>
  algorithm === 'Ed25519' ? 'EdDSA' : 'ES256';

/**
 * The flattened serialisation (section 7.2.2). `header` is the protected header; `alg` is the key's and need not be given.
 * @throws HoldfastError `usage` for another `alg` or for `b64`; and whatever the key throws.
 */
export async function signJws(
  payload: Uint8Array,
  header: Readonly<Record<string, unknown>>,
  key: SigningKey,
): Promise<FlattenedJws> {
  const alg = jwsAlgorithmOf(key);
  if ((header.alg ?? alg) !== alg) throw new HoldfastError('usage', `the key signs with ${alg}`);
  if (header.b64 !== undefined) throw new HoldfastError('usage', 'unencoded payloads (RFC 7797) are not made here');
  const parts = [JSON.stringify({ ...header, alg }), payload].map((part) =>
    toBase64Url(typeof part === 'string' ? utf8(part) : part),
  );
  const signature = await key.sign(utf8(parts.join('.')));
  return { protected: parts[0]!, payload: parts[1]!, signature: toBase64Url(signature) };
}

/** The compact serialisation (section 7.1). */
export async function signCompactJws(
  payload: Uint8Array,
  header: Readonly<Record<string, unknown>>,
  key: SigningKey,
): Promise<string> {
  const jws = await signJws(payload, header, key);
  return `${jws.protected}.${jws.payload}.${jws.signature}`;
}
