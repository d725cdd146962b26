/**
 * The sender's side of HPKE (RFC 9180) and the client's signature by native code, so that making the load costs little beside
 * carrying it. What it gives is what src/crypto/hpke.ts seals and src/access/client-key.ts signs; test/scripts/bench.test.ts
 * holds them together.
 */

import { createECDH, createPrivateKey, sign } from 'node:crypto';
import { type ClientKeyJwk, encodeClientSignature } from '../../src/access/client.ts';
import { concatBytes } from '../../src/core/index.ts';
import { aesGcm } from '../../src/crypto/aead.ts';
import { nonceOf } from '../../src/crypto/hpke.ts';
import { AES_256_GCM, type HpkeContext, keySchedule, setupRecipient } from '../../src/crypto/hpke-schedule.ts';

const schedule = keySchedule(AES_256_GCM);

/** The context of one recovery's messages to one recipient, made ahead of them. */
export interface Sender {
  /** 65 bytes, uncompressed P-256. */
  readonly enc: Uint8Array;
  readonly context: HpkeContext;
  /** Sequence number of the next message, below 256. */
  next: number;
}

/** About 0.2 ms. `publicKey` is 65 bytes. */
export function newSender(publicKey: Uint8Array, info: Uint8Array): Sender {
  const ephemeral = createECDH('prime256v1');
  const enc = new Uint8Array(ephemeral.generateKeys());
  const dh = new Uint8Array(ephemeral.computeSecret(publicKey));
  // Sender and recipient differ only in how they come by the Diffie-Hellman value.
  return { enc, context: setupRecipient(schedule, dh, enc, publicKey, info), next: 0 };
}

/** The next message of a context. */
export function sealWith(sender: Sender, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const { key, baseNonce } = sender.context;
  const sequence = sender.next++;
  return concatBytes(Uint8Array.of(sequence), aesGcm.seal(key, nonceOf(baseNonce, sequence), aad, plaintext));
}

/** `signAsClient` with one key, which is imported once. About 0.05 ms. */
export function clientSigner(
  jwk: ClientKeyJwk,
): (outer: Uint8Array, tokenHash: Uint8Array, enc?: Uint8Array) => Uint8Array {
  const key = createPrivateKey({ key: { ...jwk }, format: 'jwk' });
  return (outer, tokenHash, enc) => sign(null, encodeClientSignature(outer, tokenHash, enc), key);
}
