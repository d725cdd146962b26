/**
 * The recipient's key schedule of HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256) and HKDF-SHA256, from the point
 * on where the Diffie-Hellman value is known: the private key is in a token, which computes that value.
 */

import { concatBytes, utf8 } from '../core/index.ts';
import { hkdfExpand, hkdfExtract } from './hkdf.ts';

const VERSION = utf8('HPKE-v1');
const EMPTY = new Uint8Array(0);
const MODE_BASE = 0;
const KEM_ID = 0x0010;
const KDF_ID = 0x0001;

/** An AEAD of RFC 9180 section 7.3. */
export interface HpkeAead {
  readonly id: number;
  /** Bytes. */
  readonly keyLength: number;
}

export const AES_256_GCM: HpkeAead = { id: 0x0002, keyLength: 32 };

export interface HpkeContext {
  readonly key: Uint8Array;
  /** 12 bytes: the nonce of the first message, the only one of its context here. */
  readonly baseNonce: Uint8Array;
  /** Section 5.3: a secret of `length` bytes for another use, named by `context`. */
  exportSecret(context: Uint8Array, length: number): Uint8Array;
}

const twoBytes = (value: number) => Uint8Array.of(value >> 8, value & 0xff);

/** LabeledExtract and LabeledExpand, RFC 9180 section 4, of one suite. */
function labelled(suiteId: Uint8Array) {
  return {
    extract: (salt: Uint8Array, label: string, inputKey: Uint8Array) =>
      hkdfExtract(salt, concatBytes(VERSION, suiteId, utf8(label), inputKey)),
    expand: (pseudorandomKey: Uint8Array, label: string, info: Uint8Array, length: number) =>
      hkdfExpand(pseudorandomKey, concatBytes(twoBytes(length), VERSION, suiteId, utf8(label), info), length),
  };
}

/**
 * SetupBaseR without its `DH` step, sections 4.1 and 5.1.
 * @param dh the 32-byte x-coordinate of the private key times `enc`.
 * @param enc the sender's ephemeral public key, 65 bytes, already checked to be on the curve.
 * @param publicKey the recipient's own public key, 65 bytes.
 */
export function setupRecipient(
  aead: HpkeAead,
  dh: Uint8Array,
  enc: Uint8Array,
  publicKey: Uint8Array,
  info: Uint8Array,
): HpkeContext {
  const kem = labelled(concatBytes(utf8('KEM'), twoBytes(KEM_ID)));
  const sharedSecret = kem.expand(kem.extract(EMPTY, 'eae_prk', dh), 'shared_secret', concatBytes(enc, publicKey), 32);

  const hpke = labelled(concatBytes(utf8('HPKE'), twoBytes(KEM_ID), twoBytes(KDF_ID), twoBytes(aead.id)));
  const context = concatBytes(
    Uint8Array.of(MODE_BASE),
    hpke.extract(EMPTY, 'psk_id_hash', EMPTY),
    hpke.extract(EMPTY, 'info_hash', info),
  );
  const secret = hpke.extract(sharedSecret, 'secret', EMPTY);
  const exporterSecret = hpke.expand(secret, 'exp', context, 32);
  return {
    key: hpke.expand(secret, 'key', context, aead.keyLength),
    baseNonce: hpke.expand(secret, 'base_nonce', context, 12),
    exportSecret: (exporterContext, length) => hpke.expand(exporterSecret, 'sec', exporterContext, length),
  };
}
