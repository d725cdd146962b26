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
  /** 12 bytes: the nonce of the first message. */
  readonly baseNonce: Uint8Array;
  /** Section 5.3: a secret of `length` bytes for another use, named by `context`. */
  exportSecret(context: Uint8Array, length: number): Uint8Array;
}

const twoBytes = (value: number) => Uint8Array.of(value >> 8, value & 0xff);

/** LabeledExtract and LabeledExpand, RFC 9180 section 4, of one suite. The prefixes of all labels are made once. */
function labelled(...suiteId: Uint8Array[]) {
  const prefix = (label: string) => concatBytes(VERSION, ...suiteId, utf8(label));
  return {
    extract: (label: string) => {
      const before = prefix(label);
      return (salt: Uint8Array, inputKey: Uint8Array) => hkdfExtract(salt, before, inputKey);
    },
    expand: (label: string) => {
      const before = prefix(label);
      return (pseudorandomKey: Uint8Array, info: Uint8Array, length: number) =>
        hkdfExpand(pseudorandomKey, [twoBytes(length), before, info], length);
    },
  };
}

const kem = labelled(utf8('KEM'), twoBytes(KEM_ID));
const extractDh = kem.extract('eae_prk');
const expandSharedSecret = kem.expand('shared_secret');

/** The steps of a key schedule, section 5.1, for one AEAD. */
export function keySchedule(aead: HpkeAead) {
  const hpke = labelled(utf8('HPKE'), twoBytes(KEM_ID), twoBytes(KDF_ID), twoBytes(aead.id));
  const noPskIdHash = hpke.extract('psk_id_hash')(EMPTY, EMPTY);
  return {
    keyLength: aead.keyLength,
    contextStart: concatBytes(Uint8Array.of(MODE_BASE), noPskIdHash),
    extractInfo: hpke.extract('info_hash'),
    extractSecret: hpke.extract('secret'),
    expandKey: hpke.expand('key'),
    expandNonce: hpke.expand('base_nonce'),
    expandExporter: hpke.expand('exp'),
    expandExport: hpke.expand('sec'),
  };
}

/**
 * SetupBaseR without its `DH` step, sections 4.1 and 5.1.
 * @param dh the 32-byte x-coordinate of the private key times `enc`.
 * @param enc the sender's ephemeral public key, 65 bytes, already checked to be on the curve.
 * @param publicKey the recipient's own public key, 65 bytes.
 */
export function setupRecipient(
  schedule: ReturnType<typeof keySchedule>,
  dh: Uint8Array,
  enc: Uint8Array,
  publicKey: Uint8Array,
  info: Uint8Array,
): HpkeContext {
  const sharedSecret = expandSharedSecret(extractDh(EMPTY, dh), concatBytes(enc, publicKey), 32);
  const context = concatBytes(schedule.contextStart, schedule.extractInfo(EMPTY, info));
  const secret = schedule.extractSecret(sharedSecret, EMPTY);
  const exporterSecret = schedule.expandExporter(secret, context, 32);
  return {
    key: schedule.expandKey(secret, context, schedule.keyLength),
    baseNonce: schedule.expandNonce(secret, context, 12),
    exportSecret: (exporterContext, length) => schedule.expandExport(exporterSecret, exporterContext, length),
  };
}
