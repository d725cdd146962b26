/**
 * The two curves of Holdfast's keys as PKCS#11 names and encodes them: P-256 (PKCS#11 v2.40, section 2.3) and edwards25519
 * (v3.0, section 2.3). Tokens differ in both, so every form in use is read, and one that worked is written.
 */

import { HoldfastError, utf8 } from '../../core/index.ts';
import { requireUncompressed } from '../evaluate.ts';
import type { SigningAlgorithm } from '../port.ts';
import type { KeyProfile } from '../profile.ts';
import { CK } from './cryptoki.ts';

/** Of PKCS#11 v3.0; pkcs11js has no names for them. */
const CKK_EC_EDWARDS = 0x40;
export const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
export const CKM_EDDSA = 0x1057;

/** id-prime256v1 as CKA_EC_PARAMS wants it (DER, RFC 5480 section 2.1.1.1). */
export const P256_PARAMETERS = Uint8Array.of(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07);

/** The PrintableString "edwards25519". */
const ED25519_NAME = Uint8Array.of(0x13, 12, ...utf8('edwards25519'));
/** id-Ed25519 (RFC 8410 section 3). */
const ED25519_OID = Uint8Array.of(0x06, 0x03, 0x2b, 0x65, 0x70);
/** The same curve under GNU's arc, as some tokens return it. */
const ED25519_GNU_OID = Uint8Array.of(0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01);

export interface Curve {
  readonly name: string;
  readonly family: string;
  /** CKK_*. */
  readonly keyType: number;
  /** CKM_* that generates a pair. */
  readonly generation: number;
  /** Every CKA_EC_PARAMS that names the curve. */
  readonly named: readonly Uint8Array[];
  /** The CKA_EC_PARAMS to generate with. */
  parameters(profile: KeyProfile): Uint8Array;
  /** The public key of a CKA_EC_POINT. @throws HoldfastError `malformed`. */
  point(value: Uint8Array): Uint8Array;
}

export const CURVES: Readonly<Record<SigningAlgorithm, Curve>> = {
  'P-256': {
    name: 'P-256',
    family: 'EC',
    keyType: CK.CKK_EC,
    generation: CK.CKM_EC_KEY_PAIR_GEN,
    named: [P256_PARAMETERS],
    parameters: () => P256_PARAMETERS,
    point: (value) => {
      // A DER OCTET STRING, or bare as some tokens give it.
      const point = value.length === 67 && value[0] === 4 && value[1] === 65 ? value.subarray(2) : value;
      requireUncompressed(point);
      return Uint8Array.from(point);
    },
  },
  Ed25519: {
    name: 'edwards25519',
    family: 'EC Edwards',
    keyType: CKK_EC_EDWARDS,
    generation: CKM_EC_EDWARDS_KEY_PAIR_GEN,
    named: [ED25519_NAME, ED25519_OID, ED25519_GNU_OID],
    parameters: ({ eddsa }) => (eddsa === 'oid' ? ED25519_OID : ED25519_NAME),
    point: (value) => {
      // A DER OCTET STRING, a DER BIT STRING without unused bits, or bare. The lengths tell them apart.
      if (value.length === 34 && value[0] === 4 && value[1] === 32) return Uint8Array.from(value.subarray(2));
      if (value.length === 35 && value[0] === 3 && value[1] === 33 && value[2] === 0) {
        return Uint8Array.from(value.subarray(3));
      }
      if (value.length === 32) return Uint8Array.from(value);
      throw new HoldfastError('malformed', 'the token gave no Ed25519 public key of 32 bytes; check its module');
    },
  },
};
