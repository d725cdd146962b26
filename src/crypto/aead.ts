/** AES-GCM with a 16-byte tag (NIST SP 800-38D), synchronous: the runtime's own, else @noble/ciphers. */

import { gcm } from '@noble/ciphers/aes.js';
import { concatBytes, nativeCrypto } from '../core/index.ts';

export const TAG_BYTES = 16;

/** Seals and opens under a key of 16 or 32 bytes and a nonce of 12 bytes. */
export interface AesGcm {
  /** Ciphertext followed by the 16-byte tag. */
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array<ArrayBuffer>;
  /** The plaintext, or undefined if the tag is wrong or missing. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array<ArrayBuffer> | undefined;
}

const algorithm = (key: Uint8Array) => (key.length === 32 ? 'aes-256-gcm' : 'aes-128-gcm');

/** A key that is handed over as bytes is first tried as several other things: 15 microseconds a message instead of 7. */
function native(crypto: NonNullable<typeof nativeCrypto>): AesGcm {
  const imported = (key: Uint8Array) => crypto.createSecretKey(key);
  return {
    seal(key, nonce, aad, plaintext) {
      const cipher = crypto.createCipheriv(algorithm(key), imported(key), nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(aad);
      const body = cipher.update(plaintext);
      cipher.final();
      return concatBytes(body, cipher.getAuthTag());
    },
    open(key, nonce, aad, ciphertext) {
      const end = ciphertext.length - TAG_BYTES;
      if (end < 0) return undefined;
      const decipher = crypto.createDecipheriv(algorithm(key), imported(key), nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(aad);
      decipher.setAuthTag(ciphertext.subarray(end));
      const body = decipher.update(ciphertext.subarray(0, end));
      try {
        // The plaintext is released only after the tag was found right. This mode has nothing left at the end.
        decipher.final();
        return new Uint8Array(body.buffer, body.byteOffset, body.length);
      } catch {
        return undefined;
      }
    },
  };
}

/** The implementation for browsers; identical in its results. */
export const portableAesGcm: AesGcm = {
  seal: (key, nonce, aad, plaintext) => new Uint8Array(gcm(key, nonce, aad).encrypt(plaintext)),
  open(key, nonce, aad, ciphertext) {
    const cipher = gcm(key, nonce, aad);
    try {
      return new Uint8Array(cipher.decrypt(ciphertext));
    } catch {
      return undefined;
    }
  },
};

export const aesGcm: AesGcm = nativeCrypto ? native(nativeCrypto) : portableAesGcm;
