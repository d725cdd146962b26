/** A node's check of user tokens (RFC 7519, RFC 8725): one algorithm per tenant, each token's signature once. */

import { constants, verify } from 'node:crypto';
import { bytesToHex, type Clock, equalBytes, fromBase64Url, HoldfastError, utf8 } from '../core/index.ts';
import type { Operation } from './operations.ts';
import { recordId } from './record-id.ts';
import { loadTenant, type Tenant, type TenantAlgorithm, type TenantConfiguration } from './tenant.ts';
import {
  hashUserToken,
  isCompactToken,
  type ParsedUserToken,
  parseUserToken,
  type UserTokenClaims,
} from './user-token.ts';

/** Why a token was refused: for the sealed answer to its client and for the node's log, in `details.reason`. */
export type RefusalReason =
  | 'malformed'
  | 'issuer'
  | 'signature'
  | 'audience'
  | 'too_old'
  | 'record'
  | 'not_yet_valid'
  | 'expired'
  | 'scope';

export interface UserTokenVerifierOptions {
  /** The only `aud` that is taken. */
  readonly fleet: string;
  readonly tenants: readonly TenantConfiguration[];
  readonly clock: Clock;
  /** How many verified tokens are remembered; about 0.6 KiB each. 4,096 by default, 0 for none. */
  readonly cacheSize?: number;
}

export interface VerifiedUser {
  readonly issuer: string;
  readonly subject: string;
  /** Ed25519, 32 bytes. The request, or what it is sealed in, must be signed with it, or the token is not its sender's. */
  readonly clientKey: Uint8Array;
  /** SHA-256 of the token, 32 bytes. */
  readonly tokenHash: Uint8Array;
  /** The token's `exp`, in milliseconds since 1970; the verifier itself tolerates a minute more. */
  readonly expiresAt: number;
}

/** @throws HoldfastError `forbidden`, with the same message whatever the reason. */
export type UserTokenVerifier = (
  token: string,
  use: { readonly operation: Operation; readonly record: Uint8Array },
) => Promise<VerifiedUser>;

/** Milliseconds by which a tenant's clock may differ from the node's. */
const CLOCK_TOLERANCE = 60_000;
const DEFAULT_CACHE_SIZE = 4096;

/** @throws HoldfastError `usage` for a tenant that is not configured right. */
export function createUserTokenVerifier(options: UserTokenVerifierOptions): UserTokenVerifier {
  const { fleet, clock, cacheSize = DEFAULT_CACHE_SIZE } = options;
  const tenants = new Map<string, Tenant>();
  for (const configuration of options.tenants) {
    if (tenants.has(configuration.issuer)) {
      throw new HoldfastError('usage', `tenant “${configuration.issuer}” is configured twice`);
    }
    tenants.set(configuration.issuer, loadTenant(configuration));
  }

  /** Claims of authentic tokens by the token's hash, the least recently used first. Refused ones are never in it. */
  const cache = new Map<string, UserTokenClaims>();

  /** What can't change during a token's life. */
  function authenticate(token: string): UserTokenClaims {
    // 1. Form, before any cryptography.
    const { header, claims } = parse(token);
    // 2. The issuer chooses the tenant; the tenant, not the token, chooses algorithm and keys.
    const tenant = tenants.get(claims.issuer);
    if (tenant === undefined) throw refusal('issuer');
    if (header.alg !== tenant.algorithm || !isSigned(token, tenant, header.kid)) throw refusal('signature');
    // 3. For this fleet only.
    if (claims.audience !== fleet) throw refusal('audience');
    // 4. Short-lived.
    if (claims.expiresAt - claims.issuedAt > tenant.maximumAge) throw refusal('too_old');
    // 5. The user's own record.
    if (tenant.recordIdKey !== undefined) {
      const own = recordId(tenant.recordIdKey, { fleet, issuer: claims.issuer, subject: claims.subject });
      if (!equalBytes(own, claims.record)) throw refusal('record');
    }
    return claims;
  }

  /** What depends on now and on this use. */
  function checkUse(claims: UserTokenClaims, operation: Operation, record: Uint8Array): void {
    const now = clock.now();
    if (now < Math.max(claims.issuedAt, claims.notBefore ?? 0) - CLOCK_TOLERANCE) throw refusal('not_yet_valid');
    // Written so that a clock that tells no number refuses.
    if (!(now < claims.expiresAt + CLOCK_TOLERANCE)) throw refusal('expired');
    if (!claims.operations.includes(operation)) throw refusal('scope');
    if (!equalBytes(claims.record, record)) throw refusal('record');
  }

  function remember(key: string, claims: UserTokenClaims): void {
    cache.delete(key);
    cache.set(key, claims);
    if (cache.size > cacheSize) cache.delete(cache.keys().next().value!);
  }

  return async (token, { operation, record }) => {
    if (!isCompactToken(token)) throw refusal('malformed');
    const tokenHash = hashUserToken(token);
    const key = bytesToHex(tokenHash);
    const claims = cache.get(key) ?? authenticate(token);
    try {
      checkUse(claims, operation, record);
    } catch (error) {
      if ((error as HoldfastError).details.reason === 'expired') cache.delete(key);
      throw error;
    }
    remember(key, claims);
    const { issuer, subject, clientKey, expiresAt } = claims;
    // Copies, so that no caller can change what the cache gives to the next.
    return { issuer, subject, clientKey: clientKey.slice(), tokenHash, expiresAt };
  };
}

function parse(token: string): ParsedUserToken {
  try {
    return parseUserToken(token);
  } catch {
    throw refusal('malformed');
  }
}

/**
 * The digest and options of node:crypto's `verify` for each algorithm (RFC 7518 sections 3.3 to 3.5, RFC 8037). Without options
 * the key goes alone: beside any it costs 15 microseconds more.
 */
const VERIFICATION: Record<TenantAlgorithm, { readonly digest: string | null; readonly options?: object }> = {
  EdDSA: { digest: null },
  Ed25519: { digest: null },
  ES256: { digest: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  RS256: { digest: 'sha256', options: { padding: constants.RSA_PKCS1_PADDING } },
  PS256: { digest: 'sha256', options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } },
};

/**
 * The JWS signing input is what stands before the last dot (RFC 7515 section 5.2). Synchronous: a verification costs less
 * than the way to another thread and back.
 */
function isSigned(token: string, tenant: Tenant, kid: string | undefined): boolean {
  const end = token.lastIndexOf('.');
  const input = utf8(token.slice(0, end));
  const signature = fromBase64Url(token.slice(end + 1));
  const { digest, options } = VERIFICATION[tenant.algorithm];
  return tenant.keysFor(kid).some((key) => {
    try {
      return verify(digest, input, options ? { key, ...options } : key, signature);
    } catch {
      // Another key may fit.
      return false;
    }
  });
}

/** One sentence for every reason: who may not see the sealed details learns nothing from the refusal. */
function refusal(reason: RefusalReason): HoldfastError {
  return new HoldfastError('forbidden', 'the user token does not allow this; get a new one from your service', {
    details: { reason },
  });
}
