/**
 * One sealed request and its sealed answer: HPKE base mode (RFC 9180) with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and
 * AES-256-GCM, and answers bound to their request as in Oblivious HTTP (RFC 9458 section 4.4).
 */

import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KEM_DHKEM_P256_HKDF_SHA256 } from 'hpke';
import { concatBytes, HoldfastError, type Random, utf8 } from '../core/index.ts';
import { aesGcm, TAG_BYTES } from './aead.ts';
import { hkdfExpand, hkdfExtract } from './hkdf.ts';
import { AES_256_GCM, keySchedule, setupRecipient } from './hpke-schedule.ts';

const POINT_BYTES = 65;
const DH_BYTES = 32;
const ANSWER_LABEL = utf8('holdfast answer');
const KEY_LABEL = utf8('key');
const NONCE_LABEL = utf8('nonce');
/** The larger of the AEAD's key and nonce lengths, as RFC 9458 wants for both the secret and the response nonce. */
const ANSWER_SECRET_BYTES = 32;
const RESPONSE_NONCE_BYTES = 32;

/** A request sealed to one node. */
export interface SealedRequest {
  /** The ephemeral public key, 65 bytes. */
  readonly enc: Uint8Array;
  /** As long as the plaintext and 16 bytes more. */
  readonly ciphertext: Uint8Array;
  /**
   * Opens the answer to this request.
   * @throws HoldfastError `untrusted` if it is not an answer to this request with this `aad`.
   */
  openAnswer(aad: Uint8Array, sealedAnswer: Uint8Array): Promise<Uint8Array>;
}

/** A request that this node opened. */
export interface OpenedRequest {
  readonly plaintext: Uint8Array;
  /** Seals an answer that only this request's sender can open: 32 bytes of nonce, then the ciphertext and its tag. */
  sealAnswer(aad: Uint8Array, plaintext: Uint8Array, random: Random): Uint8Array;
}

const schedule = keySchedule(AES_256_GCM);
const sender = new CipherSuite(KEM_DHKEM_P256_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);

/**
 * Seals a request to the holder of `publicKey` (65 bytes, uncompressed P-256). `info` names the protocol and purpose,
 * `aad` the outer fields that travel beside the ciphertext. About 1 ms.
 * @throws HoldfastError `untrusted` if `publicKey` is no point on the curve.
 */
export async function sealRequest(options: {
  readonly publicKey: Uint8Array;
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
  readonly plaintext: Uint8Array;
}): Promise<SealedRequest> {
  const { info, aad, plaintext } = options;
  const publicKey = await sender.DeserializePublicKey(options.publicKey).catch((cause: unknown) => {
    throw new HoldfastError('untrusted', 'the node’s session key is no valid point; get a new bundle', { cause });
  });
  const { encapsulatedSecret: enc, ctx } = await sender.SetupSender(publicKey, { info });
  const ciphertext = await ctx.Seal(plaintext, aad);
  const secret = await ctx.Export(ANSWER_LABEL, ANSWER_SECRET_BYTES);
  return {
    enc,
    ciphertext,
    openAnswer: async (answerAad, sealedAnswer) => {
      const keys = answerKeys(secret, enc, sealedAnswer.subarray(0, RESPONSE_NONCE_BYTES));
      const answer =
        sealedAnswer.length < RESPONSE_NONCE_BYTES + TAG_BYTES
          ? undefined
          : aesGcm.open(keys.key, keys.nonce, answerAad, sealedAnswer.subarray(RESPONSE_NONCE_BYTES));
      if (answer === undefined)
        throw new HoldfastError('untrusted', 'the node’s answer does not belong to this request');
      return answer;
    },
  };
}

/**
 * Opens a request sealed to the token's session key. Synchronous; about 0.1 ms.
 * @param options.dh what the token derived from `enc`: the 32-byte x-coordinate. The token's port has then checked that
 *   `enc` is a point on the curve.
 * @param options.enc the ephemeral public key, 65 bytes.
 * @param options.publicKey the session key's public half, 65 bytes.
 * @throws HoldfastError `malformed` for wrong lengths, and if the request was not sealed to this key with these `info`
 *   and `aad`.
 */
export function openRequest(options: {
  readonly dh: Uint8Array;
  readonly enc: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly info: Uint8Array;
  readonly aad: Uint8Array;
  readonly ciphertext: Uint8Array;
}): OpenedRequest {
  const { dh, enc, publicKey, info, aad, ciphertext } = options;
  if (dh.length !== DH_BYTES || enc.length !== POINT_BYTES || publicKey.length !== POINT_BYTES) {
    throw new HoldfastError('malformed', 'the sealed request has a key of the wrong length');
  }
  const context = setupRecipient(schedule, dh, enc, publicKey, info);
  const plaintext = aesGcm.open(context.key, context.baseNonce, aad, ciphertext);
  if (plaintext === undefined) throw new HoldfastError('malformed', 'the request was not sealed to this node’s key');
  return {
    plaintext,
    sealAnswer(answerAad, answer, random) {
      const responseNonce = random(RESPONSE_NONCE_BYTES);
      const keys = answerKeys(context.exportSecret(ANSWER_LABEL, ANSWER_SECRET_BYTES), enc, responseNonce);
      return concatBytes(responseNonce, aesGcm.seal(keys.key, keys.nonce, answerAad, answer));
    },
  };
}

/** RFC 9458 section 4.4: key and nonce of one answer. The fresh response nonce makes both differ for each answer. */
function answerKeys(secret: Uint8Array, enc: Uint8Array, responseNonce: Uint8Array) {
  const pseudorandomKey = hkdfExtract(concatBytes(enc, responseNonce), secret);
  return {
    key: hkdfExpand(pseudorandomKey, KEY_LABEL, AES_256_GCM.keyLength),
    nonce: hkdfExpand(pseudorandomKey, NONCE_LABEL, 12),
  };
}
