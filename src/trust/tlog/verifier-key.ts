/** Verifier keys, "vkeys", and what it takes for one to verify a signature (C2SP signed-note, tlog-cosignature). */

import { bytesToHex, concatBytes, equalBytes, HoldfastError, hexToBytes, sha256, utf8 } from '../../core/index.ts';
import { isPublicPoint, verifyEcdsa, verifyEd25519 } from '../../crypto/index.ts';
import { cosignatureMessage, decodeCosignature } from './cosignature.ts';
import { ecdsaFromDer } from './ecdsa-der.ts';
import { fromBase64, isKeyName, toBase64 } from './text.ts';

/** The types of signature that are verified here, with their identifier bytes. */
export const SIGNATURE_TYPES = { ed25519: 0x01, ecdsa: 0x02, cosignature: 0x04 } as const;
export type SignatureType = keyof typeof SIGNATURE_TYPES;

export interface VerifierKey {
  readonly name: string;
  /** 8 lower-case hex digits: the 4 bytes that a note's line begins with. */
  readonly id: string;
  /** `unknown` keys are read and written, but nothing verifies by them. */
  readonly type: SignatureType | 'unknown';
  /** `ed25519` and `cosignature`: 32 bytes. `ecdsa`: the point, 65 bytes. `unknown`: as it stands in the vkey. */
  readonly publicKey: Uint8Array;
  /** The whole vkey. */
  readonly text: string;
}

/** UTF-16 units of a vkey; the longest in use, ML-DSA-44's, have less than 2,000 besides the name. */
export const MAXIMUM_VKEY = 4096;

/** What stands before the point in the SubjectPublicKeyInfo of a P-256 key (RFC 5480 section 2). */
const P256_SPKI_PREFIX = hexToBytes('3059301306072a8648ce3d020106082a8648ce3d030107034200');

/**
 * Reads a vkey, `<name>+<key id>+<base64 of type and key>`. The key ID is computed anew for the types known here.
 * @throws HoldfastError `bad_input` saying what is wrong.
 */
export function parseVerifierKey(text: string): VerifierKey {
  if (text.length > MAXIMUM_VKEY) throw bad(`has more than ${MAXIMUM_VKEY} characters`);
  const [, name, id, encoded] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/s.exec(text) ?? [];
  if (name === undefined || id === undefined || encoded === undefined) throw bad('must be <name>+<key id>+<base64>');
  if (!isKeyName(name)) throw bad('has a name with spaces or control characters');
  const bytes = decode(encoded);
  const type = Object.entries(SIGNATURE_TYPES).find(([, byte]) => byte === bytes[0])?.[0] as SignatureType | undefined;
  if (type === undefined) return { name, id, type: 'unknown', publicKey: bytes.subarray(1), text };
  const key = newVerifierKey(name, type, type === 'ecdsa' ? pointOf(bytes.subarray(1)) : bytes.subarray(1));
  if (key.text !== text) throw bad('has a key ID that is not its key’s');
  return key;
}

function decode(encoded: string): Uint8Array {
  try {
    const bytes = fromBase64(encoded);
    if (bytes.length > 1) return bytes;
  } catch (cause) {
    throw bad('has a key that is not base64', cause);
  }
  throw bad('has no key');
}

function pointOf(spki: Uint8Array): Uint8Array {
  const prefix = spki.subarray(0, P256_SPKI_PREFIX.length);
  if (!equalBytes(prefix, P256_SPKI_PREFIX)) throw bad('has an ECDSA key that is not on P-256');
  return spki.subarray(P256_SPKI_PREFIX.length);
}

/**
 * The verifier key of a public key: 32 bytes of Ed25519, or the uncompressed point, 65 bytes, of ECDSA on P-256.
 * @throws HoldfastError `bad_input` for a name or a key that cannot be.
 */
export function newVerifierKey(name: string, type: SignatureType, publicKey: Uint8Array): VerifierKey {
  if (!isKeyName(name)) throw bad('has a name that is empty, or has spaces, plus or control characters');
  const material = type === 'ecdsa' ? spkiOf(publicKey) : publicKey;
  if (type !== 'ecdsa' && material.length !== 32) throw bad('has an Ed25519 key that is not 32 bytes');
  const typed = concatBytes(Uint8Array.of(SIGNATURE_TYPES[type]), material);
  // signed-note: ECDSA's key ID is of the SPKI alone, the others' of name, newline, type and key.
  const hash = sha256(type === 'ecdsa' ? material : concatBytes(utf8(`${name}\n`), typed));
  const id = bytesToHex(hash.subarray(0, 4));
  const text = `${name}+${id}+${toBase64(typed)}`;
  if (text.length > MAXIMUM_VKEY) throw bad(`has more than ${MAXIMUM_VKEY} characters`);
  return { name, id, type, publicKey: publicKey.slice(), text };
}

function spkiOf(point: Uint8Array): Uint8Array {
  if (!isPublicPoint(point)) throw bad('has an ECDSA key that is no uncompressed point on P-256');
  return concatBytes(P256_SPKI_PREFIX, point);
}

/**
 * Whether `signature`, the bytes after the key ID of a note's line, is by `key` over the note's text: undefined if not,
 * else the time of a cosignature in seconds since 1970, or null for types without a time. About 0.1 ms. Never throws.
 * ECDSA's s must be in the lower half, so that no signature has a second form.
 */
export function verifySignature(
  key: VerifierKey,
  text: string,
  signature: Uint8Array,
): { readonly seconds: number | null } | undefined {
  switch (key.type) {
    case 'ed25519':
      return verifyEd25519(key.publicKey, utf8(text), signature) ? { seconds: null } : undefined;
    case 'ecdsa': {
      const raw = ecdsaFromDer(signature);
      return raw && verifyEcdsa(key.publicKey, utf8(text), raw) ? { seconds: null } : undefined;
    }
    case 'cosignature': {
      const parts = decodeCosignature(signature);
      const message = parts && messageOf(text, parts.seconds);
      if (!parts || !message || !verifyEd25519(key.publicKey, message, parts.signature)) return undefined;
      return { seconds: parts.seconds };
    }
    case 'unknown':
      return undefined;
  }
}

/** The message that a witness signed, or undefined if the text is no checkpoint. */
function messageOf(text: string, seconds: number): Uint8Array | undefined {
  try {
    return cosignatureMessage(text, seconds);
  } catch {
    return undefined;
  }
}

function bad(problem: string, cause?: unknown): HoldfastError {
  return new HoldfastError('bad_input', `the verifier key ${problem}`, { cause });
}
