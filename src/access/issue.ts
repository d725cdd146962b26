/** Making tenant keys and user tokens (RFC 7515, RFC 7519), for development, tests and the command line. */

import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose';
import { HoldfastError, toBase64Url } from '../core/index.ts';
import { expandScope, type Operation, type ScopeSet } from './operations.ts';
import { TENANT_ALGORITHMS, type TenantAlgorithm } from './tenant.ts';
import { parseUserToken, USER_TOKEN_TYPE } from './user-token.ts';

export interface TenantKeyPair {
  readonly privateKey: JWK;
  /** For `TenantConfiguration.keys`. */
  readonly publicKey: JWK;
}

/** A new key; RSA keys have 2048 bits. `kid` is the key's thumbprint (RFC 7638). @throws HoldfastError `usage`. */
export async function generateTenantKey(algorithm: TenantAlgorithm): Promise<TenantKeyPair> {
  if (!TENANT_ALGORITHMS.includes(algorithm)) {
    throw new HoldfastError('usage', `the algorithm must be one of ${TENANT_ALGORITHMS.join(', ')}`);
  }
  const pair = await generateKeyPair(algorithm, { extractable: true });
  const publicKey = await exportJWK(pair.publicKey);
  const common = { alg: algorithm, use: 'sig', kid: await calculateJwkThumbprint(publicKey) };
  return {
    privateKey: { ...(await exportJWK(pair.privateKey)), ...common },
    publicKey: { ...publicKey, ...common },
  };
}

export interface UserTokenRequest {
  /** The tenant's private key, with its `alg`. */
  readonly tenantKey: JWK;
  readonly issuer: string;
  readonly subject: string;
  readonly fleet: string;
  readonly scope: readonly (Operation | ScopeSet)[];
  /** The client's Ed25519 public key, 32 bytes. */
  readonly clientKey: Uint8Array;
  /** The record id, 32 bytes; `recordId` computes it. */
  readonly record: Uint8Array;
  /** Milliseconds since 1970. */
  readonly issuedAt: number;
  /** 600 by default. */
  readonly lifetimeSeconds?: number;
}

/** @throws HoldfastError `usage` for a key or claims of which no user token can be made. */
export async function createUserToken(request: UserTokenRequest): Promise<string> {
  const { tenantKey, lifetimeSeconds = 600 } = request;
  const scope = expandScope(request.scope).join(' ');
  const issuedAt = Math.floor(request.issuedAt / 1000);
  try {
    const token = await new SignJWT({
      iss: request.issuer,
      sub: request.subject,
      aud: request.fleet,
      iat: issuedAt,
      exp: issuedAt + lifetimeSeconds,
      scope,
      cnf: { jwk: { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(request.clientKey) } },
      record: toBase64Url(request.record),
    })
      .setProtectedHeader({ alg: tenantKey.alg!, typ: USER_TOKEN_TYPE, ...(tenantKey.kid && { kid: tenantKey.kid }) })
      .sign(await importJWK(tenantKey));
    // What leaves here passes the same reader as at the node.
    parseUserToken(token);
    return token;
  } catch (cause) {
    throw new HoldfastError('usage', 'no user token can be made of this; check the tenant’s key and the claims', {
      cause,
    });
  }
}
