/** The few cryptographic operations a node asks of a token (PKCS#11 v2.40 mechanisms), on handles, synchronous. */

import { p256_hasher } from '@noble/curves/nist.js';
import { codec, HoldfastError, sha256 } from '../../core/index.ts';
import { encodeUncompressed } from '../evaluate.ts';
import type { TokenProfile } from '../profile.ts';
import {
  CK,
  type Cryptoki,
  ecdhMechanism,
  flagAttribute,
  type Handle,
  numberAttribute,
  plainMechanism,
  readAttribute,
} from './cryptoki.ts';
import { CKM_EDDSA } from './curves.ts';

const prfMessage = codec.message('holdfast/ecdh-prf/v1', { input: codec.bytes(8192), secret: codec.fixed(32) });
const HASH_TO_CURVE_DST = 'holdfast-ecdh-prf-v1-P256_XMD:SHA-256_SSWU_RO_';

/** A session secret whose value may be read: the x-coordinate is the result, not a key. */
const DERIVED = [
  numberAttribute(CK.CKA_CLASS, CK.CKO_SECRET_KEY),
  numberAttribute(CK.CKA_KEY_TYPE, CK.CKK_GENERIC_SECRET),
  numberAttribute(CK.CKA_VALUE_LEN, 32),
  flagAttribute(CK.CKA_TOKEN, false),
  flagAttribute(CK.CKA_PRIVATE, false),
  flagAttribute(CK.CKA_SENSITIVE, false),
  flagAttribute(CK.CKA_EXTRACTABLE, true),
];

const wrongLength = (operation: string) =>
  new HoldfastError(
    'token_failed',
    `the token answered ${operation} with the wrong number of bytes; check its module`,
    {
      details: { operation },
    },
  );

/** The x-coordinate of key * `point` (65 bytes, already checked to be on the curve), 32 bytes. */
export function deriveX(
  module: Cryptoki,
  session: Handle,
  key: Handle,
  point: Uint8Array,
  encoding: TokenProfile['ecdhPoint'],
): Uint8Array {
  const publicData = encoding === 'raw' ? point : Uint8Array.of(4, point.length, ...point);
  const derived = module.C_DeriveKey(session, ecdhMechanism(publicData), key, DERIVED);
  try {
    const value = readAttribute(module, session, derived, CK.CKA_VALUE);
    if (value?.length !== 32) throw wrongLength('ECDH');
    return Uint8Array.from(value);
  } finally {
    module.C_DestroyObject(session, derived);
  }
}

/** ECDSA over SHA-256 of `message`, 64 bytes r || s as the token made them. */
export function signEcdsa(
  module: Cryptoki,
  session: Handle,
  key: Handle,
  message: Uint8Array,
  hashing: TokenProfile['ecdsa'],
): Uint8Array {
  module.C_SignInit(session, plainMechanism(hashing === 'digest' ? CK.CKM_ECDSA : CK.CKM_ECDSA_SHA256), key);
  const input = Buffer.from(hashing === 'digest' ? sha256(message) : message);
  const signature = module.C_Sign(session, input, Buffer.alloc(128));
  if (signature.length !== 64) throw wrongLength('ECDSA');
  return Uint8Array.from(signature);
}

/** Pure Ed25519 (RFC 8032) of `message`, 64 bytes. CKM_EDDSA without a parameter is just that (PKCS#11 v3.0, 2.3.14). */
export function signEddsa(module: Cryptoki, session: Handle, key: Handle, message: Uint8Array): Uint8Array {
  module.C_SignInit(session, plainMechanism(CKM_EDDSA), key);
  const signature = module.C_Sign(session, Buffer.from(message), Buffer.alloc(128));
  if (signature.length !== 64) throw wrongLength('EdDSA');
  return Uint8Array.from(signature);
}

/** HMAC-SHA256, 32 bytes. */
export function hmac(module: Cryptoki, session: Handle, key: Handle, message: Uint8Array): Uint8Array {
  module.C_SignInit(session, plainMechanism(CK.CKM_SHA256_HMAC), key);
  const mac = module.C_Sign(session, Buffer.from(message), Buffer.alloc(64));
  if (mac.length !== 32) throw wrongLength('HMAC');
  return Uint8Array.from(mac);
}

/**
 * The PRF of a token without HMAC: SHA-256 over the input and the ECDH of the key with a point hashed from the input
 * (RFC 9380, P256_XMD:SHA-256_SSWU_RO_). 32 bytes, about 2 ms on the host.
 */
export function ecdhPrf(
  module: Cryptoki,
  session: Handle,
  key: Handle,
  input: Uint8Array,
  encoding: TokenProfile['ecdhPoint'],
): Uint8Array {
  const point = p256_hasher.hashToCurve(input, { DST: HASH_TO_CURVE_DST }).toAffine();
  const secret = deriveX(module, session, key, encodeUncompressed(point), encoding);
  return sha256(prfMessage.encode({ input, secret }));
}
