/** A record's seed and the three keys made from it by HKDF-SHA256 (RFC 5869), each under its own label. */

import { codec, HoldfastError, type Random, Secret, systemRandom } from '../core/index.ts';
import { type Ed25519Key, ed25519KeyFromSeed } from './ed25519.ts';
import { hkdf } from './hkdf.ts';

export const SEED_BYTES = 32;
const KEY_BYTES = 32;

export interface SeedKeys {
  /** AES-256-GCM key of the record's envelope, 32 bytes. */
  readonly encryptionKey: Secret;
  /** Its signature proves the right PIN. Never stored anywhere. */
  readonly confirmKey: Ed25519Key;
  /** Authorises opening a new generation, cancelling and deleting. The person's devices may keep it. */
  readonly ownerKey: Ed25519Key;
}

/** A fresh seed of 32 bytes. */
export function newSeed(random: Random = systemRandom): Secret {
  return new Secret(random(SEED_BYTES));
}

const info = (label: string) => codec.message(label, {}).encode({});
const ENCRYPTION_INFO = info('holdfast v1 encryption key');
const CONFIRM_INFO = info('holdfast v1 confirm key');
const OWNER_INFO = info('holdfast v1 owner key');

/**
 * The keys of a seed of 32 bytes.
 * @throws HoldfastError `bad_input` for a seed of another length.
 */
export function deriveKeys(seed: Secret): SeedKeys {
  const bytes = seed.reveal();
  if (bytes.length !== SEED_BYTES) throw new HoldfastError('bad_input', `a seed has ${SEED_BYTES} bytes`);
  return {
    encryptionKey: new Secret(hkdf(bytes, ENCRYPTION_INFO, KEY_BYTES)),
    confirmKey: ed25519KeyFromSeed(new Secret(hkdf(bytes, CONFIRM_INFO, KEY_BYTES))),
    ownerKey: ed25519KeyFromSeed(new Secret(hkdf(bytes, OWNER_INFO, KEY_BYTES))),
  };
}
