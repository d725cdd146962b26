/** Public keys that sign evidence, as SubjectPublicKeyInfo (RFC 5280, with RFC 8410 or RFC 5480): what `openssl` and `cosign` read. */

import { concatBytes, equalBytes, hexToBytes, type JsonValue } from '../core/index.ts';
import { isPublicPoint, verifyEcdsa, verifyEd25519 } from '../crypto/index.ts';
import { type CanonicalValue, ecdsaFromDer, fromBase64, toBase64 } from '../trust/index.ts';

/** Ed25519 (RFC 8032, pure), or ECDSA on P-256 with SHA-256 (FIPS 186-5). */
export type EvidenceAlgorithm = 'Ed25519' | 'P-256';

export interface PublicKey {
  readonly algorithm: EvidenceAlgorithm;
  /** SubjectPublicKeyInfo in DER: 44 bytes for Ed25519, 91 for P-256. */
  readonly spki: Uint8Array;
}

/** A key that an evidence manifest names: what vouches for it are the two signatures on the bundle. */
export interface EvidenceKey extends PublicKey {
  /** 1 to 200 printable ASCII characters without spaces, as the key's name in signed notes. */
  readonly name: string;
}

const PREFIX: Readonly<Record<EvidenceAlgorithm, Uint8Array>> = {
  Ed25519: hexToBytes('302a300506032b6570032100'),
  'P-256': hexToBytes('3059301306072a8648ce3d020106082a8648ce3d030107034200'),
};
const MAXIMUM_SPKI = 91;

/** The key of 32 bytes (Ed25519) or of an uncompressed point, 65 bytes (P-256). */
export function publicKeyOf(algorithm: EvidenceAlgorithm, raw: Uint8Array): PublicKey {
  return { algorithm, spki: concatBytes(PREFIX[algorithm], raw) };
}

/** The 32 bytes or the point of a key; undefined for what is no such key. */
export function rawKeyOf({ algorithm, spki }: PublicKey): Uint8Array | undefined {
  const prefix = PREFIX[algorithm];
  const raw = spki.subarray(prefix.length);
  if (!equalBytes(spki.subarray(0, prefix.length), prefix)) return undefined;
  const right = algorithm === 'Ed25519' ? raw.length === 32 : isPublicPoint(raw);
  return right ? raw : undefined;
}

/**
 * Whether `signature` is by `key` over `message`: 64 bytes of Ed25519, or ECDSA in DER with s in the lower half, so that no
 * signature has a second form. About 0.1 ms natively. Never throws.
 */
export function verifyWithKey(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  const raw = rawKeyOf(key);
  if (raw === undefined) return false;
  if (key.algorithm === 'Ed25519') return verifyEd25519(raw, message, signature);
  const both = signature.length <= 72 ? ecdsaFromDer(signature) : undefined;
  return both !== undefined && verifyEcdsa(raw, message, both);
}

/** The key as a PEM file (RFC 7468), as `cosign --key` and `openssl` read it. */
export function publicKeyPem({ spki }: PublicKey): string {
  return `-----BEGIN PUBLIC KEY-----\n${toBase64(spki).replace(/.{64}(?=.)/g, '$&\n')}\n-----END PUBLIC KEY-----\n`;
}

/** The members `algorithm` and `spki` (base64). */
export function writePublicKey({ algorithm, spki }: PublicKey): { algorithm: EvidenceAlgorithm; spki: string } {
  return { algorithm, spki: toBase64(spki) };
}

/** Reads what `writePublicKey` writes. Throws as `JsonValue` does. */
export function readPublicKey(value: JsonValue): PublicKey {
  const key = value.object(['algorithm', 'spki']);
  return checkKey(value, key.required('algorithm'), key.required('spki'));
}

export function writeEvidenceKey(key: EvidenceKey): CanonicalValue {
  return { name: key.name, ...writePublicKey(key) };
}

export function readEvidenceKey(value: JsonValue): EvidenceKey {
  const key = value.object(['name', 'algorithm', 'spki']);
  const read = checkKey(value, key.required('algorithm'), key.required('spki'));
  return { name: readKeyName(key.required('name')), ...read };
}

export function readKeyName(value: JsonValue): string {
  const name = value.text(200);
  return /^[\x21-\x7e]+$/.test(name) ? name : value.fail('must be 1 to 200 printable ASCII characters without spaces');
}

function checkKey(value: JsonValue, algorithm: JsonValue, spki: JsonValue): PublicKey {
  const key = { algorithm: algorithm.word(['Ed25519', 'P-256']), spki: readBase64(spki, MAXIMUM_SPKI) };
  return rawKeyOf(key) === undefined ? value.fail('must be a SubjectPublicKeyInfo of that algorithm') : key;
}

/** Canonical base64 (RFC 4648 section 4) of 1 to `maximum` bytes. */
export function readBase64(value: JsonValue, maximum: number): Uint8Array<ArrayBuffer> {
  const text = value.text(Math.ceil(maximum / 3) * 4);
  try {
    return fromBase64(text);
  } catch {
    return value.fail('must be base64 with padding');
  }
}
