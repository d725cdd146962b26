/** The secret itself, padded to one size and sealed with AES-256-GCM under a key made from the record's seed. */

import { HoldfastError, Secret } from '../core/index.ts';
import { aesGcm, TAG_BYTES } from './aead.ts';

/** Largest secret that a record can hold, in bytes. */
export const MAXIMUM_SECRET_BYTES = 1024;
const LENGTH_BYTES = 2;
const KEY_BYTES = 32;
/** Every envelope has this size, so that it does not tell how long the secret is. */
export const ENVELOPE_BYTES = LENGTH_BYTES + MAXIMUM_SECRET_BYTES + TAG_BYTES;

// GCM needs a nonce that never repeats under one key. The key comes from a seed drawn for one generation of one record,
// and seals exactly one envelope, so a constant is right; a random one would add 12 bytes and nothing else.
const NONCE = new Uint8Array(12);

function checkKey(key: Secret): Uint8Array {
  const bytes = key.reveal();
  if (bytes.length !== KEY_BYTES) throw new HoldfastError('unexpected', 'the encryption key must have 32 bytes');
  return bytes;
}

/**
 * Seals `secret`, 1 to 1,024 bytes, with a key that has sealed nothing before. `binding` names the place that the
 * envelope belongs to (fleet, record, generation); it opens nowhere else.
 * @returns 1,042 bytes.
 * @throws HoldfastError `bad_input` for an empty secret, `too_large` for one of more than 1,024 bytes.
 */
export function sealEnvelope(encryptionKey: Secret, binding: Uint8Array, secret: Uint8Array): Uint8Array<ArrayBuffer> {
  const key = checkKey(encryptionKey);
  if (secret.length === 0) throw new HoldfastError('bad_input', 'the secret is empty; give at least one byte');
  if (secret.length > MAXIMUM_SECRET_BYTES) {
    throw new HoldfastError(
      'too_large',
      `the secret has more than ${MAXIMUM_SECRET_BYTES} bytes; keep a key to it instead`,
    );
  }
  const padded = new Uint8Array(LENGTH_BYTES + MAXIMUM_SECRET_BYTES);
  new DataView(padded.buffer).setUint16(0, secret.length);
  padded.set(secret, LENGTH_BYTES);
  try {
    return aesGcm.seal(key, NONCE, binding, padded);
  } finally {
    padded.fill(0);
  }
}

/**
 * Opens an envelope. AES-GCM does not commit to its key: the caller has checked before that the public keys made from
 * the same seed are the document's.
 * @throws HoldfastError `untrusted` if key, binding or envelope do not belong together, `malformed` if the padding is
 *   not what `sealEnvelope` writes.
 */
export function openEnvelope(encryptionKey: Secret, binding: Uint8Array, envelope: Uint8Array): Secret {
  const key = checkKey(encryptionKey);
  const padded = envelope.length === ENVELOPE_BYTES ? aesGcm.open(key, NONCE, binding, envelope) : undefined;
  if (padded === undefined) {
    throw new HoldfastError('untrusted', 'the envelope does not open; the record was damaged or belongs elsewhere');
  }
  const length = new DataView(padded.buffer).getUint16(0);
  const end = LENGTH_BYTES + length;
  if (length === 0 || length > MAXIMUM_SECRET_BYTES || padded.subarray(end).some((byte) => byte !== 0)) {
    throw new HoldfastError('malformed', 'the envelope holds no well-formed secret; enrol again');
  }
  const secret = padded.slice(LENGTH_BYTES, end);
  padded.fill(0);
  return new Secret(secret);
}
