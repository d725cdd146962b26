/** A tenant: whose user tokens a fleet takes, under which keys (RFC 7517) and which one algorithm. */

import { createPublicKey, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { HoldfastError } from '../core/index.ts';

/** `EdDSA` is RFC 8037's name for what RFC 9864 calls `Ed25519`; the token must use the one that is configured. */
export const TENANT_ALGORITHMS = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'PS256'] as const;

export type TenantAlgorithm = (typeof TENANT_ALGORITHMS)[number];

export interface TenantConfiguration {
  /** The `iss` claim, exactly. */
  readonly issuer: string;
  /** The only algorithm that this tenant's tokens may name (RFC 8725 section 3.1). */
  readonly algorithm: TenantAlgorithm;
  /** Public keys, 1 to 16; several while the tenant changes its key. */
  readonly keys: readonly JWK[];
  /** 32 bytes. If set, a token's `record` must be what `recordId` computes for its subject. */
  readonly recordIdKey?: Uint8Array;
  /** The longest time between a token's `iat` and `exp`, in seconds; 3600 by default. */
  readonly maximumAgeSeconds?: number;
}

export interface Tenant {
  readonly issuer: string;
  readonly algorithm: TenantAlgorithm;
  readonly recordIdKey: Uint8Array | undefined;
  readonly maximumAge: number;
  /** The keys that may have signed a token with this `kid`. */
  keysFor(kid: string | undefined): readonly KeyObject[];
}

const DEFAULT_MAXIMUM_AGE_SECONDS = 3600;
const LONGEST_MAXIMUM_AGE_SECONDS = 86_400;
const MAXIMUM_KEYS = 16;
const MINIMUM_RSA_BITS = 2048;

const KEY_KINDS: Record<TenantAlgorithm, { readonly kty: string; readonly crv?: string }> = {
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  Ed25519: { kty: 'OKP', crv: 'Ed25519' },
  ES256: { kty: 'EC', crv: 'P-256' },
  RS256: { kty: 'RSA' },
  PS256: { kty: 'RSA' },
};

/** Checks a tenant's configuration whole, at start, not at the first token. @throws HoldfastError `usage`. */
export function loadTenant(configuration: TenantConfiguration): Tenant {
  const { issuer, algorithm, recordIdKey } = configuration;
  const maximumAgeSeconds = configuration.maximumAgeSeconds ?? DEFAULT_MAXIMUM_AGE_SECONDS;
  const wrong = (what: string) => new HoldfastError('usage', `tenant “${issuer}”: ${what}`);

  if (typeof issuer !== 'string' || issuer === '') throw wrong('the issuer must be a text');
  if (!TENANT_ALGORITHMS.includes(algorithm)) {
    throw wrong(`the algorithm must be one of ${TENANT_ALGORITHMS.join(', ')}`);
  }
  if (recordIdKey !== undefined && recordIdKey.length !== 32) throw wrong('the record id key must have 32 bytes');
  if (!(maximumAgeSeconds > 0 && maximumAgeSeconds <= LONGEST_MAXIMUM_AGE_SECONDS)) {
    throw wrong(`the maximum age must be 1 to ${LONGEST_MAXIMUM_AGE_SECONDS} seconds`);
  }
  if (configuration.keys.length === 0 || configuration.keys.length > MAXIMUM_KEYS) {
    throw wrong(`give 1 to ${MAXIMUM_KEYS} public keys`);
  }
  const keys = configuration.keys.map((jwk) => ({ kid: jwk.kid, key: loadKey(jwk, algorithm, wrong) }));
  return {
    issuer,
    algorithm,
    recordIdKey: recordIdKey?.slice(),
    maximumAge: maximumAgeSeconds * 1000,
    keysFor: (wanted) =>
      keys.filter(({ kid }) => wanted === undefined || kid === undefined || kid === wanted).map(({ key }) => key),
  };
}

function loadKey(jwk: JWK, algorithm: TenantAlgorithm, wrong: (what: string) => HoldfastError): KeyObject {
  const { kty, crv } = KEY_KINDS[algorithm];
  if (jwk.d !== undefined || jwk.k !== undefined)
    throw wrong('a key is a private one; a node must have the public key only');
  if (jwk.kty !== kty || (crv !== undefined && jwk.crv !== crv)) throw wrong(`a key is not one for ${algorithm}`);
  if (jwk.alg !== undefined && jwk.alg !== algorithm) throw wrong(`a key is declared for ${jwk.alg}, not ${algorithm}`);
  if ((jwk.use ?? 'sig') !== 'sig') throw wrong('a key is not declared for signatures');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
  } catch {
    throw wrong('a key is not valid');
  }
  if (kty === 'RSA' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < MINIMUM_RSA_BITS) {
    throw wrong(`an RSA key has fewer than ${MINIMUM_RSA_BITS} bits`);
  }
  return key;
}
