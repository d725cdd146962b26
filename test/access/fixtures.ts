/** One tenant, one client, one record, and a clock that tests turn. */

import { importJWK, type JWK, SignJWT } from 'jose';
import {
  createUserTokenVerifier,
  generateClientKey,
  generateTenantKey,
  type Operation,
  type TenantAlgorithm,
  type TenantConfiguration,
  type UserTokenVerifierOptions,
} from '../../src/access/index.ts';
import { type HoldfastError, toBase64Url } from '../../src/core/index.ts';

export const FLEET = 'fleet-a';
export const ISSUER = 'https://tenant.example';
export const NOW = Date.UTC(2030, 0, 1);
export const RECORD = new Uint8Array(32).fill(7);
export const REFUSAL = 'the user token does not allow this; get a new one from your service';

export const clientKey = generateClientKey();

export function fixedClock(now = NOW) {
  return { time: now, now: () => clock.time, sleep: () => Promise.reject(new Error('nothing here waits')) };
}
export const clock = fixedClock();

export async function createTenant(algorithm: TenantAlgorithm, issuer = ISSUER) {
  const { privateKey, publicKey } = await generateTenantKey(algorithm);
  const configuration: TenantConfiguration = { issuer, algorithm, keys: [publicKey] };
  return { privateKey, publicKey, configuration };
}

export const seconds = (milliseconds: number) => Math.floor(milliseconds / 1000);

/** Claims that are right in every way. */
export function goodClaims(): Record<string, unknown> {
  return {
    iss: ISSUER,
    sub: 'user-1',
    aud: FLEET,
    iat: seconds(NOW),
    exp: seconds(NOW) + 600,
    scope: 'status attempt confirm',
    cnf: { jwk: { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(clientKey.publicKey) } },
    record: toBase64Url(RECORD),
  };
}

/** A rightly signed token of any claims and header. */
export async function signToken(key: JWK, claims: object = goodClaims(), header: object = {}): Promise<string> {
  const protectedHeader = { alg: key.alg!, kid: key.kid!, typ: 'holdfast+jwt', ...header };
  const jwt = new SignJWT({ ...claims }).setProtectedHeader(JSON.parse(JSON.stringify(protectedHeader)));
  return jwt.sign(await importJWK(key));
}

export function createVerifier(tenants: TenantConfiguration[], options: Partial<UserTokenVerifierOptions> = {}) {
  return createUserTokenVerifier({ fleet: FLEET, tenants, clock, ...options });
}

export const use = (operation: Operation = 'attempt', record = RECORD) => ({ operation, record });

/** Why it was refused; throws if it was not, or if the error is of another kind or tells outsiders anything. */
export async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  const error: HoldfastError = await promise.then(
    () => {
      throw new Error('was accepted');
    },
    (thrown) => thrown,
  );
  if (error.code !== 'forbidden' || error.message !== REFUSAL || error.cause !== undefined) throw error;
  return error.details.reason;
}
